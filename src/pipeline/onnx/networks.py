"""Scikit-learn's multi-layer perceptrons, with the scaling before and after them, as ONNX nodes in 64 bits."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import NotConvertible
from pipeline.onnx.graph import Graph

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "identity": "Identity"}


def add_network(graph: Graph, features: str, model: Any) -> str:
    """Add a pipeline of bounds, scaling, filling of gaps and a perceptron, or a regressor of a scaled target around it.

    Returns
    -------
    str
        Regression: the prediction, double, shape (n_rows, 1). Classification: the probabilities, double, shape
        (n_rows, n_classes).

    Raises
    ------
    NotConvertible
        When a step is another than these.
    """
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.frozen import FrozenEstimator
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    value = graph.cast(features, "DOUBLE")
    of_target = model.transformer_ if isinstance(model, TransformedTargetRegressor) else None
    inner = model.regressor_ if isinstance(model, TransformedTargetRegressor) else model
    for step in inner if isinstance(inner, Pipeline) else [inner]:
        fitted = step.estimator if isinstance(step, FrozenEstimator) else step
        match fitted:
            case StandardScaler():
                offset, scale = _scaling(fitted)
                value = graph.node("Div", graph.node("Sub", value, graph.constant(offset)), graph.constant(scale))
            case MinMaxScaler(clip=True):
                value = _clipped(graph, value, fitted)
            case SimpleImputer(strategy="constant"):
                value = _filled(graph, value, fitted)
            case MLPClassifier() | MLPRegressor():
                value = _layers(graph, value, fitted)
            case _:
                raise _unknown(fitted)
    match of_target:
        case None:
            return value
        case StandardScaler():
            offset, scale = _scaling(of_target)
            return graph.node("Add", graph.node("Mul", value, graph.constant(scale)), graph.constant(offset))
        case _:
            raise _unknown(of_target)


def _scaling(scaler: "StandardScaler") -> tuple[Any, Any]:
    offset = 0.0 if scaler.mean_ is None else scaler.mean_
    return offset, 1.0 if scaler.scale_ is None else scaler.scale_


def _clipped(graph: Graph, value: str, scaler: Any) -> str:
    """Scale, and end at the bounds; what is missing stays so, as it is neither less nor greater than a bound."""
    scaled = graph.node("Add", graph.node("Mul", value, graph.constant(scaler.scale_)), graph.constant(scaler.min_))
    for operator, bound in zip(("Less", "Greater"), scaler.feature_range, strict=True):
        limit = graph.constant(np.asarray(bound, dtype=np.float64))
        scaled = graph.node("Where", graph.node(operator, scaled, limit), limit, scaled)
    return scaled


def _filled(graph: Graph, value: str, imputer: Any) -> str:
    """Fill gaps; features that were always missing in training are left out, unless the imputer keeps them."""
    filling = np.asarray(imputer.statistics_, dtype=np.float64)
    filled = graph.node("Where", graph.node("IsNaN", value), graph.constant(filling), value)
    kept = np.flatnonzero(~np.isnan(filling))
    return filled if len(kept) == len(filling) else graph.node("Gather", filled, graph.constant(kept), axis=1)


def _layers(graph: Graph, value: str, network: "MLPClassifier | MLPRegressor") -> str:
    last = len(network.coefs_) - 1
    for layer, (weights, offsets) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
        product = graph.node("MatMul", value, graph.constant(weights.astype(np.float64)))
        value = graph.node("Add", product, graph.constant(offsets.astype(np.float64)))
        activation = network.out_activation_ if layer == last else network.activation
        if activation == "softmax":
            value = graph.node("Softmax", value, axis=1)
        elif activation == "logistic":
            value = _logistic(graph, value)
        elif activation in ACTIVATIONS:
            value = graph.node(ACTIVATIONS[activation], value)
        else:
            raise NotConvertible(
                f"a perceptron's activation {activation!r} has no counterpart written for it",
                f"use one of {', '.join(ACTIVATIONS)}, logistic",
            )
    if network.out_activation_ == "logistic":
        value = graph.node("Concat", graph.node("Sub", graph.constant(1.0), value), value, axis=1)
    return value


def _logistic(graph: Graph, value: str) -> str:
    one = graph.constant(1.0)
    return graph.node("Div", one, graph.node("Add", one, graph.node("Exp", graph.node("Neg", value))))


def _unknown(estimator: object) -> NotConvertible:
    return NotConvertible(
        f"{type(estimator).__name__} has no counterpart written for it in ONNX", "serve the MLflow model"
    )
