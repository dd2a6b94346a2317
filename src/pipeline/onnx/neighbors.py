"""Neighbour features as ONNX nodes: every training place is compared with every row."""

import numpy as np

from pipeline.features.neighbors import AS_NEAR, Neighbors
from pipeline.onnx.graph import Graph, NotConvertible, value_info

MOST_PLACES = 50_000  # with which a row takes about a millisecond; the search tree needs 10 microseconds


def add_neighbors(graph: Graph, near: Neighbors, by: str) -> str:
    """Add what `pipeline.features.neighbors` computes to `graph`.

    Parameters
    ----------
    graph : Graph
    near : Neighbors
    by : str
        The features of ``near.by``, float, shape (n_rows, len(near.by)).

    Returns
    -------
    str
        The features of ``near.names``, float, shape (n_rows, n_values + 1).

    Raises
    ------
    NotConvertible
        When the training rows are at more than `MOST_PLACES` places.
    """
    n_places = len(near.distinct.rows)
    if n_places > MOST_PLACES:
        raise NotConvertible(
            f"neighbours are looked for among {n_places} places; a graph compares a row with each of them, which is "
            f"too slow beyond {MOST_PLACES}",
            "serve the MLflow model, or remove features.neighbors from params.yaml",
        )
    nan = graph.constant(np.float64(np.nan))
    places = graph.cast(by, "DOUBLE")
    missing = graph.node("IsNaN", places)
    any_missing = graph.node("ReduceMax", graph.cast(missing, "DOUBLE"), graph.constant([1]), keepdims=1)
    if n_places == 0:
        nowhere = graph.constant(np.full((1, len(near.names)), np.nan, dtype=np.float32))
        return graph.node("Add", graph.cast(any_missing, "FLOAT"), nowhere)
    known = graph.node("Where", missing, graph.constant(0.0), places)
    found = _scan(graph, near, graph.node("Div", known, graph.constant(near.scale)))
    n_values = len(near.values.T)
    totals, counts, radius = (
        graph.node("Slice", found, graph.constant([start]), graph.constant([end]), graph.constant([1]))
        for start, end in ((0, n_values), (n_values, 2 * n_values), (2 * n_values, 2 * n_values + 1))
    )
    features = graph.node("Concat", graph.node("Div", totals, counts), radius, axis=1)
    return graph.cast(graph.node("Where", graph.cast(any_missing, "BOOL"), nan, features), "FLOAT")


def _scan(graph: Graph, near: Neighbors, rows: str) -> str:
    """Add, row by row, sums and counts over the neighbours, and the distance of the k-th.

    Squares of distances are compared: their order is the same.
    """
    distinct = near.distinct
    # Constants of the body are the graph's, or each row would have to make them anew.
    coordinates = [graph.constant(np.ascontiguousarray(one)) for one in (distinct.places / near.scale).T]
    rows_there = graph.constant(distinct.rows.astype(np.float64))
    summed = graph.constant(np.vstack([distinct.totals, distinct.known]).T.astype(np.float64))
    k = min(near.k, len(near.places))
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
    of_row = value_info(row, "DOUBLE", [len(near.by)])
    of_result = value_info(result, "DOUBLE", [2 * len(near.values.T) + 1])
    return graph.node("Scan", rows, body=body.body([of_row], [of_result]), num_scan_inputs=1)
