"""Convert scikit-learn's multi-layer perceptrons, with their scaling and imputation, to ONNX nodes in 64 bits."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import NotConvertible
from pipeline.onnx.graph import Graph

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "identity": "Identity"}


def add_network(graph: Graph, features: str, model: Any) -> str:
    """Add a neural network and return the name of its output.

    Parameters
    ----------
    graph : Graph
    features : str
        Name of the features' value: float, shape (n_rows, n_features).
    model : estimator
        A fitted perceptron, or a pipeline of scalers, a constant imputer and a perceptron; for regression also a
        `TransformedTargetRegressor` of one with a scaled target.

    Returns
    -------
    str
        Name of the output. Regression: the prediction, double, shape (n_rows, 1). Classification: the probabilities,
        double, shape (n_rows, n_classes).

    Raises
    ------
    NotConvertible
        If the model has any other step, or an unsupported activation.
    """
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.frozen import FrozenEstimator
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    value = graph.cast(features, "DOUBLE")
    target_scaler = model.transformer_ if isinstance(model, TransformedTargetRegressor) else None
    estimator = model.regressor_ if isinstance(model, TransformedTargetRegressor) else model
    for step in estimator if isinstance(estimator, Pipeline) else [estimator]:
        fitted_step = step.estimator if isinstance(step, FrozenEstimator) else step
        match fitted_step:
            case StandardScaler():
                offset, scale = _offset_and_scale(fitted_step)
                value = graph.node("Div", graph.node("Sub", value, graph.constant(offset)), graph.constant(scale))
            case MinMaxScaler(clip=True):
                value = _add_clipping(graph, value, fitted_step)
            case SimpleImputer(strategy="constant"):
                value = _add_imputation(graph, value, fitted_step)
            case MLPClassifier() | MLPRegressor():
                value = _add_layers(graph, value, fitted_step)
            case _:
                raise _not_convertible(fitted_step)
    match target_scaler:
        case None:
            return value
        case StandardScaler():
            offset, scale = _offset_and_scale(target_scaler)
            return graph.node("Add", graph.node("Mul", value, graph.constant(scale)), graph.constant(offset))
        case _:
            raise _not_convertible(target_scaler)


def _offset_and_scale(scaler: "StandardScaler") -> tuple[Any, Any]:
    offset = 0.0 if scaler.mean_ is None else scaler.mean_
    return offset, 1.0 if scaler.scale_ is None else scaler.scale_


def _add_clipping(graph: Graph, value: str, scaler: Any) -> str:
    """Scale and clip to the bounds; comparisons keep a missing value (NaN), which is neither less nor greater."""
    scaled = graph.node("Add", graph.node("Mul", value, graph.constant(scaler.scale_)), graph.constant(scaler.min_))
    for operator, bound in zip(("Less", "Greater"), scaler.feature_range, strict=True):
        limit = graph.constant(np.asarray(bound, dtype=np.float64))
        scaled = graph.node("Where", graph.node(operator, scaled, limit), limit, scaled)
    return scaled


def _add_imputation(graph: Graph, value: str, imputer: Any) -> str:
    """Fill missing values, and drop features that were always missing in training unless the imputer keeps them."""
    fill_values = np.asarray(imputer.statistics_, dtype=np.float64)
    imputed = graph.node("Where", graph.node("IsNaN", value), graph.constant(fill_values), value)
    kept = np.flatnonzero(~np.isnan(fill_values))
    return imputed if len(kept) == len(fill_values) else graph.node("Gather", imputed, graph.constant(kept), axis=1)


def _add_layers(graph: Graph, value: str, network: "MLPClassifier | MLPRegressor") -> str:
    last = len(network.coefs_) - 1
    for layer, (weights, offsets) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
        product = graph.node("MatMul", value, graph.constant(weights.astype(np.float64)))
        value = graph.node("Add", product, graph.constant(offsets.astype(np.float64)))
        activation = network.out_activation_ if layer == last else network.activation
        if activation == "softmax":
            value = graph.node("Softmax", value, axis=1)
        elif activation == "logistic":
            value = _add_logistic(graph, value)
        elif activation in ACTIVATIONS:
            value = graph.node(ACTIVATIONS[activation], value)
        else:
            raise NotConvertible(
                f"the perceptron's activation {activation!r} has no counterpart in ONNX",
                f"use one of {', '.join(ACTIVATIONS)}, logistic",
            )
    if network.out_activation_ == "logistic":
        value = graph.node("Concat", graph.node("Sub", graph.constant(1.0), value), value, axis=1)
    return value


def _add_logistic(graph: Graph, value: str) -> str:
    one = graph.constant(1.0)
    return graph.node("Div", one, graph.node("Add", one, graph.node("Exp", graph.node("Neg", value))))


def _not_convertible(estimator: object) -> NotConvertible:
    return NotConvertible(f"{type(estimator).__name__} has no counterpart in ONNX", "serve the MLflow model")
