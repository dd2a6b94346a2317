"""Convert the feature transformer to ONNX nodes.

The graph has one input per raw column, named like the column, with shape (n_rows, 1). Numeric and boolean columns are
double (true is 1, a missing value NaN); text columns are string (a missing value is the empty string).
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
    """Return the input name of each raw column.

    It is the column's name. If that is empty or the name of an output, underscores are appended until it is unique:
    ``prediction_``.
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


def input_feed(
    rows: pd.DataFrame, transformer: FeatureTransformer
) -> dict[str, NDArray[np.float64] | NDArray[np.object_]]:
    """Return raw rows as the graph's inputs.

    Parameters
    ----------
    rows : DataFrame, shape (n_rows, n_columns)
        At least the columns of ``transformer.kinds``.
    transformer : FeatureTransformer

    Returns
    -------
    dict of str to array, shape (n_rows, 1)
        By input name: float64 for numeric and boolean columns, object for text columns.
    """
    names = input_names(transformer)
    feed: dict[str, NDArray[np.float64] | NDArray[np.object_]] = {}
    for column, kind in transformer.kinds.items():
        if kind == "text":
            feed[names[column]] = as_text(rows[column]).fillna("").to_numpy(dtype=object)[:, None]
        else:
            feed[names[column]] = as_numbers(rows[column], kind)[:, None]
    return feed


def add_features(graph: Graph, transformer: FeatureTransformer, feature_names: Sequence[str]) -> str:
    """Add the nodes that compute features, and return the name of their output.

    Parameters
    ----------
    graph : Graph
    transformer : FeatureTransformer
    feature_names : sequence of str
        A selection of the transformer's features.

    Returns
    -------
    str
        Name of the features' value: float, shape (n_rows, len(feature_names)), columns in the given order.

    Raises
    ------
    NotConvertible
        If a feature cannot be expressed in ONNX, with the reason.
    """
    source = GraphSource(input_names(transformer), lambda names: add_features(graph, transformer, names))
    blocks: list[str] = []
    computed: list[str] = []
    for part, indices, names in transformer.select(feature_names):
        blocks += part.add_nodes(graph, source, indices)
        computed += names
    features, order = concat(graph, blocks), [computed.index(name) for name in feature_names]
    return features if order == sorted(order) else graph.node("Gather", features, graph.constant(order), axis=1)
