"""A registered model as one ONNX graph: raw rows in, predictions out."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import NotConvertible
from pipeline.features.transformer import FeatureTransformer
from pipeline.onnx.features import add_features, inputs
from pipeline.onnx.graph import Graph, value_info
from pipeline.onnx.networks import add_network
from pipeline.onnx.trees import add_forest, add_xgboost

if TYPE_CHECKING:
    from onnx import ModelProto


def to_onnx(
    transformer: FeatureTransformer, features: list[str], model: Any, labels: list[str | int | bool] | None
) -> "ModelProto":
    """Return the graph of a transformer and the estimator fitted on its features.

    Its inputs are the raw columns (`onnx_features.inputs`). Its outputs are, of regression, ``prediction``: double,
    shape (n_rows, 1); of classification, ``prediction``: the label, of the labels' type (string, int64 or bool),
    shape (n_rows,), and ``probabilities``: double, shape (n_rows, n_labels).

    Parameters
    ----------
    transformer : FeatureTransformer
    features : list of str
        Those of its features that the estimator takes, in order.
    model : estimator
        Fitted: XGBoost's or a random forest, a perceptron or a pipeline with one.
    labels : list of str, int or bool, or None
        The classes 0, 1, … that a classifier was fitted on; None of regression.

    Returns
    -------
    onnx.ModelProto
        Checked; the same model gives the same bytes.

    Raises
    ------
    NotConvertible
        When it cannot be expressed, with the reason.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from xgboost import XGBModel

    ends = inputs(transformer)
    graph = Graph([end.name for end in ends] + ["prediction", "probabilities"])
    matrix = add_features(graph, transformer, features)
    match model:
        case XGBModel():
            answer = add_xgboost(graph, matrix, model)
        case RandomForestClassifier() | RandomForestRegressor():
            answer = add_forest(graph, matrix, model)
        case _:
            answer = add_network(graph, matrix, model)
    if labels is None:
        graph.cast(answer, "DOUBLE", into="prediction")
        return graph.model(ends, [value_info("prediction", "DOUBLE", [None, 1])])
    return _classified(graph, ends, answer, labels)


def _classified(graph: Graph, ends: list[Any], probabilities: str, labels: list[Any]) -> "ModelProto":
    kinds = {type(label) for label in labels}
    types = {str: ("STRING", object), int: ("INT64", np.int64), bool: ("BOOL", np.bool_)}
    if len(kinds) != 1 or not kinds <= set(types):
        raise NotConvertible(
            f"the labels {labels} are of several types, or of one that is neither text, whole number nor boolean",
            "write the target in one type",
        )
    name, dtype = types[kinds.pop()]
    best = graph.node("ArgMax", probabilities, axis=1, keepdims=0)
    graph.node("Gather", graph.constant(np.array(labels, dtype=dtype)), best, into="prediction")
    graph.cast(probabilities, "DOUBLE", into="probabilities")
    outputs = [value_info("prediction", name, [None]), value_info("probabilities", "DOUBLE", [None, len(labels)])]
    return graph.model(ends, outputs)
