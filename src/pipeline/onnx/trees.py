"""Trees of XGBoost and of scikit-learn's forests as ONNX nodes, exact to the last comparison.

The converters onnxmltools and skl2onnx are not used: they round thresholds and sums so that some rows take another
branch, or other labels (docs/architecture.md has the figures).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotConvertible
from pipeline.onnx.graph import Graph, refuse_larger

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from xgboost import XGBModel

LESS_OR_EQUAL, LESS = 0, 1  # codes of comparisons
SUM, NO_TRANSFORM = 1, 0  # codes of aggregation and of what follows it
SPLIT_BYTES, LEAF_BYTES = 34, 12  # at most, in a model
AS_THEY_ARE = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror")


@dataclass(frozen=True)
class Tree:
    """One tree, its nodes numbered from the root, 0.

    Attributes
    ----------
    left, right : arrays of int, shape (n_nodes,)
        The nodes below; -1 in leaves.
    feature : array of int, shape (n_nodes,)
        What a node compares.
    threshold : array of float, shape (n_nodes,)
        With what; left where the feature is below it.
    missing_left : array of bool, shape (n_nodes,)
        Whether missing values go left.
    value : array of float, shape (n_nodes,)
        What a leaf adds to the output.
    output : int
        Which one.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.floating]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.floating]
    output: int


def add_xgboost(graph: Graph, features: str, model: "XGBModel") -> str:
    """Add the trees of XGBoost, in 32 bits as it computes.

    Returns
    -------
    str
        Regression: the prediction, float, shape (n_rows, 1). Classification: the probabilities, float, shape
        (n_rows, n_classes).

    Raises
    ------
    NotConvertible
        When the booster is none of plain trees, or its objective is not one of those the pipeline uses.
    """
    booster = model.get_booster()
    learner = json.loads(booster.save_raw("json"))["learner"]
    objective, kind = learner["objective"]["name"], learner["gradient_booster"]["name"]
    if kind != "gbtree" or objective not in (*AS_THEY_ARE, "binary:logistic", "multi:softprob"):
        raise NotConvertible(
            f"XGBoost's booster {kind!r} with objective {objective!r} has no counterpart written for it",
            f"use booster: gbtree and one of {', '.join(AS_THEY_ARE)}, binary:logistic, multi:softprob",
        )
    base = np.atleast_1d(np.asarray(json.loads(learner["learner_model_param"]["base_score"]), dtype=np.float32))
    if objective == "binary:logistic":
        base = -np.log(np.float32(1) / base - np.float32(1))
    n_outputs = max(1, int(learner["learner_model_param"]["num_class"]))
    base = np.broadcast_to(base, n_outputs)
    stored = learner["gradient_booster"]["model"]
    # Sums begin with the base score, as XGBoost's do: another order rounds otherwise.
    trees = [_leaf(value, output) for output, value in enumerate(base)]
    trees += [_xgboost_tree(tree, output) for tree, output in zip(stored["trees"], stored["tree_info"], strict=True)]
    margin = _ensemble(graph, features, trees, LESS, n_outputs)
    if objective in AS_THEY_ARE:
        return margin
    exact = graph.cast(margin, "DOUBLE")  # ONNX Runtime's functions in 32 bits are approximations
    if objective == "multi:softprob":
        return graph.cast(graph.node("Softmax", exact, axis=1), "FLOAT")
    one = graph.constant(1.0)
    inverse = graph.node("Add", one, graph.node("Exp", graph.node("Neg", exact)))
    second = graph.cast(graph.node("Div", one, inverse), "FLOAT")
    first = graph.node("Sub", graph.constant(np.float32(1)), second)
    return graph.node("Concat", first, second, axis=1)


def add_forest(graph: Graph, features: str, model: "RandomForestRegressor | RandomForestClassifier") -> str:
    """Add the trees of a random forest, in 64 bits as scikit-learn computes.

    Each tree gives the number of the leaf that a row falls in, by which the means or shares of classes are looked up,
    added and divided.

    Returns
    -------
    str
        Regression: the prediction, double, shape (n_rows, 1). Classification: the probabilities, double, shape
        (n_rows, n_classes).
    """
    trees, values = [], []
    n_leaves = 0
    for output, estimator in enumerate(model.estimators_):
        tree = estimator.tree_
        leaf = tree.children_left == -1
        number = n_leaves + np.cumsum(leaf) - 1
        n_leaves += int(leaf.sum())
        missing_left = np.asarray(tree.missing_go_to_left, dtype=bool)
        trees.append(
            Tree(tree.children_left, tree.children_right, tree.feature, tree.threshold, missing_left,
                 number.astype(np.float64), output)
        )  # fmt: skip
        values.append(tree.value[leaf, 0, :])
    table = np.concatenate(values)
    refuse_larger(table.nbytes)
    leaves = graph.cast(_ensemble(graph, graph.cast(features, "DOUBLE"), trees, LESS_OR_EQUAL, len(trees)), "INT64")
    found = graph.node("Gather", graph.constant(table), leaves, axis=0)
    total = graph.node("ReduceSum", found, graph.constant([1]), keepdims=0)
    return graph.node("Div", total, graph.constant(np.float64(len(trees))))


def _xgboost_tree(tree: dict[str, Any], output: int) -> Tree:
    if any(tree["split_type"]) or tree.get("categories"):
        raise NotConvertible(
            "XGBoost's trees split by categories of its own",
            "fit without enable_categorical, or serve the MLflow model",
        )
    left, right, feature = (np.asarray(tree[key]) for key in ("left_children", "right_children", "split_indices"))
    threshold = np.asarray(tree["split_conditions"], dtype=np.float32)  # in leaves, their values
    return Tree(left, right, feature, threshold, np.asarray(tree["default_left"], dtype=bool), threshold, output)


def _leaf(value: np.float32, output: int) -> Tree:
    nowhere, zero = np.array([-1]), np.array([0])
    return Tree(nowhere, nowhere, zero, np.zeros(1, np.float32), np.array([False]), np.array([value]), output)


def _ensemble(graph: Graph, features: str, trees: Sequence[Tree], comparison: int, n_outputs: int) -> str:
    """Add trees whose leaves are summed by output, in the type of thresholds and features."""
    refuse_larger(sum(len(tree.left) for tree in trees) * (SPLIT_BYTES + LEAF_BYTES) // 2)
    parts = []
    n_splits = n_leaves = 0
    for tree in trees:
        part = _part(tree, n_splits, n_leaves)
        parts.append(part)
        n_splits += len(part["nodes_featureids"])
        n_leaves += len(part["leaf_weights"])
    joined: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return graph.node(
        "TreeEnsemble",
        features,
        domain="ai.onnx.ml",
        n_targets=n_outputs,
        aggregate_function=SUM,
        post_transform=NO_TRANSFORM,
        nodes_modes=np.full(n_splits, comparison, dtype=np.uint8),
        **joined,
    )


def _part(tree: Tree, n_splits: int, n_leaves: int) -> dict[str, NDArray[Any]]:
    """Return a tree as ONNX has it, splits and leaves numbered apart, after so many of the trees before."""
    is_leaf = tree.left == -1
    if is_leaf[0]:  # ONNX knows no tree without a split: one that leads to the leaf either way
        below, leaf_below = np.array([n_leaves]), np.array([1])
        is_split, left, right = np.zeros(0, dtype=bool), below, below
        left_leaf = right_leaf = leaf_below
        feature, threshold, missing = np.array([0]), tree.threshold[:1] * 0, np.array([0])
        value = tree.value[:1]
    else:
        is_split = ~is_leaf
        number = np.where(is_leaf, n_leaves + np.cumsum(is_leaf), n_splits + np.cumsum(is_split)) - 1
        left, right = number[tree.left[is_split]], number[tree.right[is_split]]
        left_leaf, right_leaf = is_leaf[tree.left[is_split]], is_leaf[tree.right[is_split]]
        feature, threshold, missing = tree.feature[is_split], tree.threshold[is_split], tree.missing_left[is_split]
        value = tree.value[is_leaf]
    return {
        "tree_roots": np.array([n_splits]),
        "nodes_featureids": feature,
        "nodes_splits": threshold,
        "nodes_truenodeids": left,
        "nodes_falsenodeids": right,
        "nodes_trueleafs": left_leaf.astype(np.int64),
        "nodes_falseleafs": right_leaf.astype(np.int64),
        "nodes_missing_value_tracks_true": missing.astype(np.int64),
        "leaf_weights": value,
        "leaf_targetids": np.full(len(value), tree.output),
    }
