"""Average the target and other features over the nearest training rows (``features.neighbors``).

Such features help where nearby rows predict better than any column, as with house prices on a map.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotConvertible, PipelineError
from pipeline.features.graph_builder import GraphBuilder, GraphSource
from pipeline.features.kinds.interface import Feature, FeatureKind, RawColumns, TrainingRows, feature_name
from pipeline.features.neighbor_search import TIE_FACTOR, Matrix, NeighborSearch
from pipeline.features.source import Source

MAX_POINTS = 50_000  # a graph then takes about 1 ms per row; the search tree takes 10 µs


@dataclass(frozen=True, eq=False)
class Neighbors(FeatureKind):
    """Means over the k nearest training rows, and the distance to the k-th.

    Attributes
    ----------
    k : int
        Number of neighbors, not counting ties with the k-th.
    by : list of str
        Features that define the distance, each divided by its standard deviation over the training rows.
    names : list of str, length n_values + 1
        Feature names: the mean of the target (or the share of each class), means of other features, the distance.
    points : array of float32, shape (n_rows, len(by))
        The `by` features of the training rows, sorted; rows with a missing value are left out.
    values : array of float32, shape (n_rows, n_values)
        The values to average; missing ones are left out of the mean.
    """

    key: ClassVar[str] = "neighbors"
    sees_target: ClassVar[bool] = True
    k: int
    by: list[str]
    names: list[str]
    points: Matrix
    values: Matrix

    @classmethod
    def fit(cls, training: TrainingRows, settings: dict[str, Any] | None) -> Self | None:
        """Store the training rows.

        Raises
        ------
        PipelineError
            If ``by`` or ``means`` names a column that is neither numeric nor derived.
        """
        if not settings:
            return None
        assert training.target is not None
        by, means = (_features(key, settings[key], training.numbers) for key in ("by", "means"))
        points = training.source.features(by) + np.float32(0)  # turns -0 into 0, so that equal points have equal bytes
        target = training.target.values.astype(np.float32)
        values = np.column_stack([target, training.source.features(means)])
        order = np.lexsort(np.column_stack([values, points]).T)
        order = order[~np.isnan(points[order]).any(axis=1)]
        names = [f"neighbors_{feature_name(name)}" for name in (*training.target.names, *means, "distance")]
        return cls(settings["k"], by, names, points[order], values[order])

    @classmethod
    def max_rows(cls, settings: dict[str, Any]) -> int:
        """Return the setting ``max_places``: a model stores 8 to 40 bytes for each place."""
        return int(settings["max_places"])

    @classmethod
    def restore(cls, columns: RawColumns, state: Any, arrays: Mapping[str, NDArray[Any]]) -> Self | None:
        """Restore the stored training rows."""
        if not arrays:
            return None
        by, names = ([str(name) for name in arrays[key]] for key in ("by", "names"))
        return cls(int(arrays["k"]), by, names, arrays["places"], arrays["values"])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the whole fitted state."""
        by, names = np.array(self.by), np.array(self.names)
        return {"k": np.array(self.k), "by": by, "names": names, "places": self.points, "values": self.values}

    @cached_property
    def features(self) -> list[Feature]:
        """One feature per name."""
        return [Feature(name, ()) for name in self.names]

    @property
    def input_features(self) -> list[str]:
        """The features that define the distance."""
        return self.by

    @cached_property
    def search(self) -> NeighborSearch:
        """The search over the training rows, with its search tree."""
        return NeighborSearch(self.k, self.points, self.values)

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Compute all features and return those requested; all come from the same search."""
        return self.search.transform(source.features(self.by)).T[list(indices)]

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, indices: Sequence[int]) -> list[str]:
        """Add a brute-force search, which compares every row with every training point.

        Raises
        ------
        NotConvertible
            If the training rows have more than `MAX_POINTS` distinct points.
        """
        n_points = len(self.search.distinct.rows)
        if n_points > MAX_POINTS:
            raise NotConvertible(
                f"features.neighbors searches {n_points:,} distinct points; a graph compares a row with each of them, "
                f"which is too slow beyond {MAX_POINTS:,}",
                "serve the MLflow model, or remove features.neighbors from params.yaml",
            )
        features = _add_means(graph, self.search, source.features(self.by))
        return [graph.node("Gather", features, graph.constant(list(indices)), axis=1)]


def _features(key: str, columns: Sequence[str], numbers: Mapping[str, str]) -> list[str]:
    for column in columns:
        if column not in numbers:
            raise PipelineError(
                f"params.yaml: features.neighbors.{key} uses {column!r}, "
                "which is neither a numeric nor a derived column",
                f"use any of {', '.join(numbers)}",
            )
    return [numbers[column] for column in columns]


def _add_means(graph: GraphBuilder, search: NeighborSearch, by: str) -> str:
    """Add nodes that compute `NeighborSearch.transform`: float, shape (n_rows, n_values + 1)."""
    n_values = search.values.shape[1]
    nan = graph.constant(np.float64(np.nan))
    points = graph.cast(by, "DOUBLE")
    missing = graph.node("IsNaN", points)
    any_missing = graph.node("ReduceMax", graph.cast(missing, "DOUBLE"), graph.constant([1]), keepdims=1)
    if not len(search.points):
        all_nan = graph.constant(np.full((1, n_values + 1), np.nan, dtype=np.float32))
        return graph.node("Add", graph.cast(any_missing, "FLOAT"), all_nan)
    filled = graph.node("Where", missing, graph.constant(0.0), points)
    sums = _add_search(graph, search, graph.node("Div", filled, graph.constant(search.scale)))
    totals, counts, radius = (
        graph.node("Slice", sums, graph.constant([start]), graph.constant([end]), graph.constant([1]))
        for start, end in ((0, n_values), (n_values, 2 * n_values), (2 * n_values, 2 * n_values + 1))
    )
    features = graph.node("Concat", graph.node("Div", totals, counts), radius, axis=1)
    return graph.cast(graph.node("Where", graph.cast(any_missing, "BOOL"), nan, features), "FLOAT")


def _add_search(graph: GraphBuilder, search: NeighborSearch, rows: str) -> str:
    """Add a scan over the rows: sums and counts over the neighbors of each, and the distance to the k-th.

    It compares squared distances, whose order is the same.
    """
    distinct = search.distinct
    # Constants belong to the outer graph; in the body they would be created for every row.
    coordinates = [graph.constant(np.ascontiguousarray(axis)) for axis in (distinct.points / search.scale).T]
    rows_at_point = graph.constant(distinct.rows.astype(np.float64))
    totals_and_counts = graph.constant(np.vstack([distinct.totals, distinct.counts]).T.astype(np.float64))
    k = min(search.k, len(search.points))
    row, result = graph.name("row"), graph.name("result")

    body = graph.subgraph()
    distances = ""
    for axis, coordinate in enumerate(coordinates):  # adding axis by axis is faster than reducing a matrix
        difference = body.node("Sub", coordinate, body.node("Gather", row, graph.constant([axis])))
        square = body.node("Mul", difference, difference)
        distances = body.node("Add", distances, square) if distances else square
    n_nearest = graph.constant([min(k, len(distinct.rows))])
    nearest = body.node("TopK", distances, n_nearest, outputs=2, axis=0, largest=0)
    cumulative_rows = body.node("CumSum", body.node("Gather", rows_at_point, nearest), graph.constant(np.int64(0)))
    too_few = body.cast(body.node("Less", cumulative_rows, graph.constant(np.float64(k))), "INT64")
    kth = body.node("ReduceSum", too_few, graph.constant([0]), keepdims=1)
    radius = body.node("Gather", body.node("Gather", distances, nearest), kth)
    # Add a margin instead of multiplying by 1 + 2e-9: ONNX Runtime rounds the factor to float32, and drops it as 1.
    margin = body.node("Mul", radius, graph.constant(TIE_FACTOR**2 - 1))
    within = body.node("LessOrEqual", distances, body.node("Add", radius, margin))
    neighbors = body.node("Squeeze", body.node("NonZero", within), graph.constant([0]))
    sums = body.node("ReduceSum", body.node("Gather", totals_and_counts, neighbors), graph.constant([0]), keepdims=0)
    body.node("Concat", sums, body.node("Sqrt", radius), axis=0, into=result)
    inputs, outputs = {row: len(coordinates)}, {result: 2 * search.values.shape[1] + 1}
    return graph.node("Scan", rows, body=body.body(inputs, outputs), num_scan_inputs=1)
