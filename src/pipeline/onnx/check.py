"""Whether an ONNX graph answers as the model it was made of, row by row, and how long either takes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.transformer import FeatureTransformer
from pipeline.onnx.features import feeds
from pipeline.onnx.session import open_session, run

if TYPE_CHECKING:
    from onnx import ModelProto

Answers = Mapping[str, NDArray[Any]]
RELATIVE = 1e-5  # largest difference, of the value …
NEAR_ZERO = 0.1  # … or, where that is more, of this share of the output's largest value: 8 to 16 units of 32 bits
REPEATS = 20  # of a single row


class GraphDiffers(PipelineError):  # noqa: N818
    """An ONNX graph does not answer as the model it was made of."""


@dataclass(frozen=True)
class Timing:
    """What a check found.

    Attributes
    ----------
    n_rows : int
        How many rows were compared.
    largest_difference : float
        Of all numbers: the difference, by the value or what takes its place near 0; at most `RELATIVE`.
    row_ms, original_row_ms : float
        Milliseconds that a single row takes, median of `REPEATS`: the graph, from its inputs; the original.
    rows_ms, original_rows_ms : float
        Milliseconds of all rows at once.
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
    predict: Callable[[pd.DataFrame], Answers],
) -> Timing:
    """Run a graph over raw rows and compare all it answers with the original.

    Parameters
    ----------
    graph : onnx.ModelProto
    transformer : FeatureTransformer
        Of the model.
    rows : DataFrame, shape (n_rows, n_columns)
        Raw rows, such as the test table; at least one.
    predict : callable
        The original: raw rows to what the graph's outputs should be, by their names.

    Returns
    -------
    Timing

    Raises
    ------
    GraphDiffers
        When they do not agree, as `check_agreement` says.
    """
    session = open_session(graph.SerializeToString())
    fed = feeds(rows, transformer)
    one, one_row = {name: values[:1] for name, values in fed.items()}, rows.iloc[:1]
    original_rows_ms, expected = _timed(lambda: predict(rows))
    rows_ms, found = _timed(lambda: run(session, fed))
    largest = check_agreement(found, expected)
    row_ms, original_row_ms = (
        float(np.median([_timed(call)[0] for _ in range(REPEATS)]))
        for call in (lambda: run(session, one), lambda: predict(one_row))
    )
    return Timing(len(rows), largest, row_ms, rows_ms, original_row_ms, original_rows_ms)


def check_agreement(found: Answers, expected: Answers) -> float:
    """Compare what a graph answers with what its model does.

    Parameters
    ----------
    found, expected : mapping of str to array, shape (n_rows,) or (n_rows, n_columns)
        The outputs of the graph, at least those of the model; and the model's.

    Returns
    -------
    float
        The largest difference of a number, by its value or what takes its place near 0.

    Raises
    ------
    GraphDiffers
        When a label is another, or a number differs by more than 1e-5 of itself and 1e-6 of the output's largest
        value: models compute in 32 bits, so that 1 - p, or a sum that nearly cancels, has no more digits.
    """
    return max(_compare(name, found[name], np.asarray(values)) for name, values in expected.items())


def _compare(name: str, found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest relative difference, or raise for the first row that differs too much."""
    shape = (len(found), -1)
    found, expected = found.reshape(shape), expected.reshape(shape)
    if found.dtype.kind == "f":
        scale = np.maximum(np.abs(expected), NEAR_ZERO * np.abs(expected).max())
        differences = np.zeros(found.shape)
        np.divide(np.abs(found.astype(np.float64) - expected), scale, out=differences, where=found != expected)
    else:
        differences = np.where(found == expected, 0.0, np.inf)
    wrong = ~(differences <= RELATIVE)  # NaN is wrong too
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        one, other = found[row].tolist()[column], expected[row].tolist()[column]
        raise GraphDiffers(
            f"the ONNX graph answers row {row + 1} with {name} {one!r}, the model with {other!r}; "
            f"{wrong.any(axis=1).sum()} of {len(wrong)} rows differ",
            "serve the MLflow model, and see docs/architecture.md for the versions that work together",
        )
    return float(differences.max())


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return milliseconds and the result."""
    start = time.perf_counter()
    result = call()
    return (time.perf_counter() - start) * 1000, result
