"""The feature transformer as ONNX nodes: one input a raw column, and the features a model takes.

Numbers and booleans are double (true is 1, missing NaN), texts are strings (missing is the empty one); every input has
the shape (n_rows, 1) and the name of its column.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import as_numbers, as_text
from pipeline.features.graph_builder import GraphSource, concat
from pipeline.features.transformer import FeatureTransformer
from pipeline.onnx.graph import Graph, value_info

if TYPE_CHECKING:
    from onnx import ValueInfoProto

OUTPUTS = ("prediction", "probabilities")


def input_names(transformer: FeatureTransformer) -> dict[str, str]:
    """Return the name of each raw column's input: its own, but for empty names and those of the graph's outputs.

    These get underscores until they differ from all others, as ``prediction_``.
    """
    names: dict[str, str] = {}
    for column in transformer.kinds:
        name = column
        while name in ("", *OUTPUTS) or (name != column and name in transformer.kinds):
            name += "_"
        names[column] = name
    return names


def inputs(transformer: FeatureTransformer) -> list["ValueInfoProto"]:
    """Return the graph's inputs, in the order of the raw columns."""
    names = input_names(transformer)
    return [
        value_info(names[column], "STRING" if kind == "text" else "DOUBLE", [None, 1])
        for column, kind in transformer.kinds.items()
    ]


def feeds(rows: pd.DataFrame, transformer: FeatureTransformer) -> dict[str, NDArray[np.float64] | NDArray[np.object_]]:
    """Turn raw rows into the graph's inputs.

    Parameters
    ----------
    rows : DataFrame, shape (n_rows, n_columns)
        At least the columns of ``transformer.kinds``.
    transformer : FeatureTransformer

    Returns
    -------
    dict of str to array, shape (n_rows, 1)
        Float64 of numbers and booleans, object of texts.
    """
    names = input_names(transformer)
    fed: dict[str, NDArray[np.float64] | NDArray[np.object_]] = {}
    for column, kind in transformer.kinds.items():
        if kind == "text":
            fed[names[column]] = as_text(rows[column]).fillna("").to_numpy(dtype=object)[:, None]
        else:
            fed[names[column]] = as_numbers(rows[column], kind)[:, None]
    return fed


def add_features(graph: Graph, transformer: FeatureTransformer, wanted: Sequence[str]) -> str:
    """Add the nodes that compute features.

    Parameters
    ----------
    graph : Graph
    transformer : FeatureTransformer
    wanted : sequence of str
        Some of its features.

    Returns
    -------
    str
        The features in that order, float, shape (n_rows, len(wanted)).

    Raises
    ------
    NotConvertible
        When the kind of a feature has no nodes for it, with the reason.
    """
    source = GraphSource(input_names(transformer), lambda names: add_features(graph, transformer, names))
    blocks: list[str] = []
    made: list[str] = []
    for part, places, names in transformer.wanted(wanted):
        blocks += part.add_nodes(graph, source, places)
        made += names
    features, order = concat(graph, blocks), [made.index(name) for name in wanted]
    return features if order == sorted(order) else graph.node("Gather", features, graph.constant(order), axis=1)
