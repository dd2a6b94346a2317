"""The feature transformer as ONNX nodes: one input a raw column, and the features a model takes.

Numbers and booleans are double (true is 1, missing NaN), texts are strings (missing is the empty one); every input has
the shape (n_rows, 1) and the name of its column.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import as_numbers, as_text
from pipeline.features.formulas import parse
from pipeline.features.transformer import FeatureTransformer
from pipeline.onnx.formulas import add_formula
from pipeline.onnx.graph import Graph, NotConvertible, value_info
from pipeline.onnx.neighbors import add_neighbors

if TYPE_CHECKING:
    from onnx import ValueInfoProto

OUTPUTS = ("prediction", "probabilities")


class Source(NamedTuple):
    """Where a feature is from: a kind of features, the column (if any), and its position among that column's."""

    kind: str
    column: str
    position: int


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
        When a feature is of a light curve, when the empty text is a category, or when neighbours are too many.
    """
    sources = _sources(transformer)
    groups: dict[tuple[str, str], list[str]] = {}
    for name in wanted:
        source = sources[name]
        groups.setdefault((source.kind, source.column if source.kind == "text" else ""), []).append(name)
    blocks = [_block(graph, transformer, [sources[name] for name in names]) for names in groups.values()]
    made = {name: place for place, name in enumerate(name for names in groups.values() for name in names)}
    features = _concat(graph, blocks)
    order = [made[name] for name in wanted]
    return features if order == sorted(order) else graph.node("Gather", features, graph.constant(order), axis=1)


def _block(graph: Graph, transformer: FeatureTransformer, sources: list[Source]) -> str:
    """Add features of one kind, and, of text, of one column."""
    names = input_names(transformer)
    columns, positions = [source.column for source in sources], [source.position for source in sources]
    match sources[0].kind:
        case "number":
            return graph.cast(_concat(graph, [names[column] for column in columns]), "FLOAT")
        case "derived":
            trees = [parse(column, transformer.derived[column]) for column in columns]
            return graph.cast(_concat(graph, [add_formula(graph, tree, names) for tree in trees]), "FLOAT")
        case "text":
            return _one_hot(graph, names[columns[0]], columns[0], transformer.categories[columns[0]], positions)
        case "neighbors":
            assert transformer.neighbors is not None
            by = add_features(graph, transformer, transformer.neighbors.by)
            near = add_neighbors(graph, transformer.neighbors, by)
            return graph.node("Gather", near, graph.constant(positions), axis=1)
    raise NotConvertible(
        "the model takes features of light curves, which ONNX has no operators for",
        "serve the MLflow model, or set features.flux: false in params.yaml",
    )


def _sources(transformer: FeatureTransformer) -> dict[str, Source]:
    sources = [Source("number", column, 0) for column in transformer.numbers]
    sources += [Source("derived", name, 0) for name in transformer.derived]
    sources += [Source("flux", "", place) for place in range(transformer.n_flux_features)]
    for column, categories in transformer.categories.items():
        sources += [Source("text", column, place) for place in range(len(categories))]
    sources += [Source("neighbors", "", place) for place in range(len(transformer.neighbor_names))]
    return dict(zip(transformer.feature_names, sources, strict=True))


def _one_hot(graph: Graph, value: str, column: str, categories: list[str], positions: list[int]) -> str:
    if "" in categories:
        raise NotConvertible(
            f"the empty text is a category of column {column!r}, and means missing in an ONNX graph",
            "replace it by another text in the table, or serve the MLflow model",
        )
    known = {category: place for place, category in enumerate(categories)}
    # `transform` takes 10001.0 for the category 10001, unless 10001.0 is one itself.
    known = {f"{category}.0": place for category, place in known.items()} | known
    encoded = graph.node(
        "LabelEncoder", value, domain="ai.onnx.ml", keys_strings=list(known), values_int64s=list(known.values()),
        default_int64=-1,
    )  # fmt: skip
    return graph.cast(graph.node("Equal", encoded, graph.constant([positions])), "FLOAT")


def _concat(graph: Graph, values: list[str]) -> str:
    return values[0] if len(values) == 1 else graph.node("Concat", *values, axis=1)
