"""Run an ONNX graph with ONNX Runtime."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH_ROWS = 1000  # a forest needs n_trees * n_classes numbers per row


def open_session(graph: bytes) -> "InferenceSession":
    """Return an inference session for a serialized graph; it runs in one thread on the CPU."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run(session: "InferenceSession", feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return a graph's outputs by name, computed in batches of rows to limit memory.

    Parameters
    ----------
    session : InferenceSession
    feed : mapping of str to array, shape (n_rows, 1)
        The graph's inputs by name, as `pipeline.onnx.features.feeds` returns them; at least one row.

    Returns
    -------
    dict of str to array, shape (n_rows,) or (n_rows, n_columns)
    """
    names = [output.name for output in session.get_outputs()]
    n_rows = len(next(iter(feed.values())))
    batches = [
        session.run(names, {name: values[start : start + BATCH_ROWS] for name, values in feed.items()})
        for start in range(0, n_rows, BATCH_ROWS)
    ]
    return {name: np.concatenate(values) for name, values in zip(names, zip(*batches, strict=True), strict=True)}
