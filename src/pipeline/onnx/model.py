"""Convert a registered model to one ONNX graph that predicts from raw rows."""

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
    transformer: FeatureTransformer,
    features: list[str],
    model: Any,
    labels: list[str | int | bool] | None,
    threshold: float | None = None,
) -> "ModelProto":
    """Return the ONNX model of a transformer and the estimator fitted on its features.

    The inputs are the raw columns (`pipeline.onnx.features.inputs`). The outputs are:

    - regression: ``prediction``, double, shape (n_rows, 1);
    - classification: ``prediction``, the predicted class as string, int64 or bool, shape (n_rows,), and
      ``probabilities``, double, shape (n_rows, n_classes).

    Parameters
    ----------
    transformer : FeatureTransformer
    features : list of str
        The features that the estimator takes, in order.
    model : estimator
        A fitted XGBoost model, random forest or multi-layer perceptron, or a scikit-learn pipeline ending in one.
    labels : list of str, int or bool, or None
        The classes that a classifier's outputs 0, 1, … stand for; None for regression.
    threshold : float, optional
        Decision threshold of a binary classifier, as in `pipeline.features.decision.predicted_classes`.

    Returns
    -------
    onnx.ModelProto
        Validated by ONNX's checker; the same model gives the same bytes.

    Raises
    ------
    NotConvertible
        If the model cannot be expressed in ONNX, with the reason.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from xgboost import XGBModel

    graph_inputs = inputs(transformer)
    graph = Graph([graph_input.name for graph_input in graph_inputs] + ["prediction", "probabilities"])
    matrix = add_features(graph, transformer, features)
    match model:
        case XGBModel():
            prediction = add_xgboost(graph, matrix, model)
        case RandomForestClassifier() | RandomForestRegressor():
            prediction = add_forest(graph, matrix, model)
        case _:
            prediction = add_network(graph, matrix, model)
    if labels is None:
        graph.cast(prediction, "DOUBLE", into="prediction")
        return graph.model(graph_inputs, [value_info("prediction", "DOUBLE", [None, 1])])
    return _classifier(graph, graph_inputs, prediction, labels, threshold)


def _classifier(
    graph: Graph, graph_inputs: list[Any], probabilities: str, labels: list[Any], threshold: float | None
) -> "ModelProto":
    label_types = {type(label) for label in labels}
    onnx_types = {str: ("STRING", object), int: ("INT64", np.int64), bool: ("BOOL", np.bool_)}
    if len(label_types) != 1 or not label_types <= set(onnx_types):
        raise NotConvertible(
            f"the classes {labels} must all be text, all whole numbers or all booleans to be converted to ONNX",
            "use one of these types for the target column",
        )
    name, dtype = onnx_types[label_types.pop()]
    if threshold is None:
        best = graph.node("ArgMax", probabilities, axis=1, keepdims=0)
    else:
        positive = graph.cast(graph.node("Gather", probabilities, graph.constant(1), axis=1), "FLOAT")
        best = graph.cast(graph.node("GreaterOrEqual", positive, graph.constant(np.float32(threshold))), "INT64")
    graph.node("Gather", graph.constant(np.array(labels, dtype=dtype)), best, into="prediction")
    graph.cast(probabilities, "DOUBLE", into="probabilities")
    outputs = [value_info("prediction", name, [None]), value_info("probabilities", "DOUBLE", [None, len(labels)])]
    return graph.model(graph_inputs, outputs)
