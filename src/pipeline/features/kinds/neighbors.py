"""Features of a row's surroundings: the target's mean, and means of other features, over the nearest training rows.

Where prices of neighbours say more than any column, as on a map, this is what lets trees see them
(``features.neighbors``).
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
from pipeline.features.neighbor_search import AS_NEAR, Matrix, NeighborSearch
from pipeline.features.source import Source

MOST_PLACES = 50_000  # with which a graph takes about a millisecond a row; the search tree needs 10 microseconds


@dataclass(frozen=True, eq=False)
class Neighbors(FeatureKind):
    """Means over the k nearest training rows, and the distance of the k-th.

    Attributes
    ----------
    k : int
        How many neighbours, with those that are as near as the k-th.
    by : list of str
        Features that span the distance, each divided by its standard deviation over the training rows.
    names : list of str, length n_values + 1
        Of the features: the target's mean (or the share of each label), means of other features, and the distance.
    places : array of float32, shape (n_rows, len(by))
        The training rows that lack none of them, sorted.
    values : array of float32, shape (n_rows, n_values)
        What is averaged; missing values are left out of the mean.
    """

    key: ClassVar[str] = "neighbors"
    sees_target: ClassVar[bool] = True
    k: int
    by: list[str]
    names: list[str]
    places: Matrix
    values: Matrix

    @classmethod
    def fit(cls, training: TrainingRows, settings: dict[str, Any] | None) -> Self | None:
        """Remember the training rows.

        Raises
        ------
        PipelineError
            When ``by`` or ``means`` names a column that is neither a number column nor a derived one.
        """
        if not settings:
            return None
        assert training.target is not None
        by, means = (_features(key, settings[key], training.numbers) for key in ("by", "means"))
        places = training.source.features(by) + np.float32(0)  # no -0
        target = training.target.values.astype(np.float32)
        values = np.column_stack([target, training.source.features(means)])
        order = np.lexsort(np.column_stack([values, places]).T)
        order = order[~np.isnan(places[order]).any(axis=1)]
        names = [f"neighbors_{feature_name(name)}" for name in (*training.target.names, *means, "distance")]
        return cls(settings["k"], by, names, places[order], values[order])

    @classmethod
    def restore(cls, columns: RawColumns, state: Any, arrays: Mapping[str, NDArray[Any]]) -> Self | None:
        """Take the stored rows."""
        if not arrays:
            return None
        by, names = ([str(name) for name in arrays[key]] for key in ("by", "names"))
        return cls(int(arrays["k"]), by, names, arrays["places"], arrays["values"])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that was fitted."""
        by, names = np.array(self.by), np.array(self.names)
        return {"k": np.array(self.k), "by": by, "names": names, "places": self.places, "values": self.values}

    @cached_property
    def features(self) -> list[Feature]:
        """What `names` says."""
        return [Feature(name, ()) for name in self.names]

    @property
    def takes(self) -> list[str]:
        """The features that span the distance."""
        return self.by

    @cached_property
    def search(self) -> NeighborSearch:
        """The search among the training rows, which grows a tree."""
        return NeighborSearch(self.k, self.places, self.values)

    def compute(self, source: Source, places: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Compute all features at once, as one search gives them."""
        return self.search.transform(source.features(self.by)).T[list(places)]

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, places: Sequence[int]) -> list[str]:
        """Compare every training place with every row.

        Raises
        ------
        NotConvertible
            When the training rows are at more than `MOST_PLACES` places.
        """
        n_places = len(self.search.distinct.rows)
        if n_places > MOST_PLACES:
            raise NotConvertible(
                f"neighbours are looked for among {n_places} places; a graph compares a row with each of them, which "
                f"is too slow beyond {MOST_PLACES}",
                "serve the MLflow model, or remove features.neighbors from params.yaml",
            )
        found = _add_means(graph, self.search, source.features(self.by))
        return [graph.node("Gather", found, graph.constant(list(places)), axis=1)]


def _features(key: str, columns: Sequence[str], numbers: Mapping[str, str]) -> list[str]:
    for column in columns:
        if column not in numbers:
            raise PipelineError(
                f"features.neighbors.{key} uses {column!r}, which is no number among the inputs",
                f"use some of {', '.join(numbers)}",
            )
    return [numbers[column] for column in columns]


def _add_means(graph: GraphBuilder, search: NeighborSearch, by: str) -> str:
    """Add what the search computes: float, shape (n_rows, n_values + 1)."""
    n_values = search.values.shape[1]
    nan = graph.constant(np.float64(np.nan))
    places = graph.cast(by, "DOUBLE")
    missing = graph.node("IsNaN", places)
    any_missing = graph.node("ReduceMax", graph.cast(missing, "DOUBLE"), graph.constant([1]), keepdims=1)
    if not len(search.places):
        nowhere = graph.constant(np.full((1, n_values + 1), np.nan, dtype=np.float32))
        return graph.node("Add", graph.cast(any_missing, "FLOAT"), nowhere)
    known = graph.node("Where", missing, graph.constant(0.0), places)
    found = _scan(graph, search, graph.node("Div", known, graph.constant(search.scale)))
    totals, counts, radius = (
        graph.node("Slice", found, graph.constant([start]), graph.constant([end]), graph.constant([1]))
        for start, end in ((0, n_values), (n_values, 2 * n_values), (2 * n_values, 2 * n_values + 1))
    )
    features = graph.node("Concat", graph.node("Div", totals, counts), radius, axis=1)
    return graph.cast(graph.node("Where", graph.cast(any_missing, "BOOL"), nan, features), "FLOAT")


def _scan(graph: GraphBuilder, search: NeighborSearch, rows: str) -> str:
    """Add, row by row, sums and counts over the neighbours, and the distance of the k-th.

    Squares of distances are compared: their order is the same.
    """
    distinct = search.distinct
    # Constants of the body are the graph's, or each row would have to make them anew.
    coordinates = [graph.constant(np.ascontiguousarray(one)) for one in (distinct.places / search.scale).T]
    rows_there = graph.constant(distinct.rows.astype(np.float64))
    summed = graph.constant(np.vstack([distinct.totals, distinct.known]).T.astype(np.float64))
    k = min(search.k, len(search.places))
    row, result = graph.name("row"), graph.name("result")

    body = graph.within()
    distances = ""
    for place, coordinate in enumerate(coordinates):  # one by one: summing over the axis of a matrix takes longer
        difference = body.node("Sub", coordinate, body.node("Gather", row, graph.constant([place])))
        square = body.node("Mul", difference, difference)
        distances = body.node("Add", distances, square) if distances else square
    asked = graph.constant([min(k, len(distinct.rows))])
    found = body.node("TopK", distances, asked, outputs=2, axis=0, largest=0)
    rows_so_far = body.node("CumSum", body.node("Gather", rows_there, found), graph.constant(np.int64(0)))
    too_few = body.cast(body.node("Less", rows_so_far, graph.constant(np.float64(k))), "INT64")
    kth = body.node("ReduceSum", too_few, graph.constant([0]), keepdims=1)
    radius = body.node("Gather", body.node("Gather", distances, found), kth)
    # Not times 1 + 2e-9: ONNX Runtime looks at 32 bits of the factor, takes it for 1 and leaves it out.
    beyond = body.node("Mul", radius, graph.constant(AS_NEAR**2 - 1))
    within = body.node("LessOrEqual", distances, body.node("Add", radius, beyond))
    who = body.node("Squeeze", body.node("NonZero", within), graph.constant([0]))
    sums = body.node("ReduceSum", body.node("Gather", summed, who), graph.constant([0]), keepdims=0)
    body.node("Concat", sums, body.node("Sqrt", radius), axis=0, into=result)
    inputs, outputs = {row: len(coordinates)}, {result: 2 * search.values.shape[1] + 1}
    return graph.node("Scan", rows, body=body.body(inputs, outputs), num_scan_inputs=1)
