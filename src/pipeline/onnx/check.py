"""Compare the predictions of an ONNX graph with those of the original model, and time both."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.transformer import FeatureTransformer
from pipeline.onnx.features import input_feed
from pipeline.onnx.session import open_session, run

if TYPE_CHECKING:
    from onnx import ModelProto

OutputArrays = Mapping[str, NDArray[Any]]
RELATIVE_TOLERANCE = 1e-5  # of the expected value, or of NEAR_ZERO times the output's largest value if that is larger
NEAR_ZERO = 0.1  # the tolerance is then 8 to 16 float32 units in the last place of the largest value
REPEATS = 20  # timings of a single row


class GraphMismatch(PipelineError):  # noqa: N818
    """An ONNX graph's predictions differ from the original model's."""


@dataclass(frozen=True)
class Timing:
    """The result of a comparison between an ONNX graph and the original model.

    Attributes
    ----------
    n_rows : int
        The number of rows compared.
    largest_difference : float
        The largest relative difference of a number, at most `RELATIVE_TOLERANCE`; see `check_agreement`.
    row_ms, original_row_ms : float
        Milliseconds for a single row, median of `REPEATS`: of the graph, without preparing its inputs; of the original.
    rows_ms, original_rows_ms : float
        Milliseconds for all rows in one call.
    """

    n_rows: int
    largest_difference: float
    row_ms: float
    rows_ms: float
    original_row_ms: float
    original_rows_ms: float


def check(
    graph: "ModelProto",
    transformer: FeatureTransformer,
    rows: pd.DataFrame,
    predict: Callable[[pd.DataFrame], OutputArrays],
) -> Timing:
    """Compare a graph's outputs with the original model's on raw rows, and time both.

    Parameters
    ----------
    graph : onnx.ModelProto
    transformer : FeatureTransformer
        The model's feature transformer.
    rows : DataFrame, shape (n_rows, n_columns)
        Raw rows, such as the test table; at least one.
    predict : callable
        The original model: takes raw rows and returns the expected outputs of the graph, by output name.

    Returns
    -------
    Timing

    Raises
    ------
    GraphDiffers
        If the outputs differ by more than `check_agreement` tolerates.
    """
    session = open_session(graph.SerializeToString())
    feed = input_feed(rows, transformer)
    row_feed, row = {name: values[:1] for name, values in feed.items()}, rows.iloc[:1]
    original_rows_ms, expected = _timed(lambda: predict(rows))
    rows_ms, outputs = _timed(lambda: run(session, feed))
    largest_difference = check_agreement(outputs, expected)
    row_ms, original_row_ms = (
        float(np.median([_timed(call)[0] for _ in range(REPEATS)]))
        for call in (lambda: run(session, row_feed), lambda: predict(row))
    )
    return Timing(len(rows), largest_difference, row_ms, rows_ms, original_row_ms, original_rows_ms)


def check_agreement(outputs: OutputArrays, expected: OutputArrays) -> float:
    """Return the largest relative difference between a graph's outputs and the expected ones.

    Parameters
    ----------
    outputs : mapping of str to array, shape (n_rows,) or (n_rows, n_columns)
        The graph's outputs, including all those in `expected`.
    expected : mapping of str to array, of the same shapes
        The model's outputs.

    Returns
    -------
    float
        Relative to the expected value, or to 10 % of the output's largest value if that is larger.

    Raises
    ------
    GraphDiffers
        If a label differs, or a number by more than 1e-5 of its value and 1e-6 of the output's largest value.
        Models compute in 32 bits: differences such as 1 - p, and sums that nearly cancel, have no more exact digits.
    """
    return max(_compare(name, outputs[name], np.asarray(values)) for name, values in expected.items())


def _compare(name: str, output: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest relative difference, or raise for the first row outside the tolerance."""
    shape = (len(output), -1)
    output, expected = output.reshape(shape), expected.reshape(shape)
    if output.dtype.kind == "f":
        scale = np.maximum(np.abs(expected), NEAR_ZERO * np.abs(expected).max())
        differences = np.zeros(output.shape)
        np.divide(np.abs(output.astype(np.float64) - expected), scale, out=differences, where=output != expected)
    else:
        differences = np.where(output == expected, 0.0, np.inf)
    is_different = ~(differences <= RELATIVE_TOLERANCE)  # True for NaN
    if is_different.any():
        row, column = np.argwhere(is_different)[0]
        value, expected_value = output[row].tolist()[column], expected[row].tolist()[column]
        raise GraphMismatch(
            f"the ONNX graph and the model differ in row {row + 1}: {name} {value!r} from the graph, "
            f"{expected_value!r} from the model; {is_different.any(axis=1).sum()} of {len(is_different)} rows differ",
            "serve the MLflow model; docs/decisions/0012-write-the-onnx-nodes-in-this-project.md names the package "
            "versions that work together",
        )
    return float(differences.max())


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the duration of a call in milliseconds, and its result."""
    start = time.perf_counter()
    result = call()
    return (time.perf_counter() - start) * 1000, result
