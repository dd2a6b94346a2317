"""Running an ONNX graph."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CHUNK = 1000  # rows at a time: forests look up n_trees times n_classes numbers a row


def open_session(graph: bytes) -> "InferenceSession":
    """Load a serialized graph, to be run by one thread on the CPU."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run(session: "InferenceSession", fed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the outputs for fed rows, run some at a time, so that memory stays bounded."""
    names = [output.name for output in session.get_outputs()]
    n_rows = len(next(iter(fed.values())))
    parts = [
        session.run(names, {name: values[start : start + CHUNK] for name, values in fed.items()})
        for start in range(0, n_rows, CHUNK)
    ]
    return {name: np.concatenate(values) for name, values in zip(names, zip(*parts, strict=True), strict=True)}
