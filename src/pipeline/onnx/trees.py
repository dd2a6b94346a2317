"""Convert the trees of XGBoost and of scikit-learn's random forests to ONNX nodes, with exact comparisons.

The converters onnxmltools and skl2onnx are not used: they round thresholds and sums, so that some rows take a
different branch or get a different label (docs/decisions/0012 has the figures).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotConvertible
from pipeline.onnx.graph import Graph, check_size

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from xgboost import XGBModel

# Codes of the TreeEnsemble operator: nodes_modes, aggregate_function and post_transform.
LESS_OR_EQUAL, LESS = 0, 1
SUM, NO_TRANSFORM = 1, 0
SPLIT_BYTES, LEAF_BYTES = 34, 12  # upper bounds in a serialized model
LOG_OBJECTIVES = ("reg:tweedie", "reg:gamma")
OBJECTIVES = (*LOG_OBJECTIVES, "binary:logistic", "multi:softprob")
IDENTITY_OBJECTIVES = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror")


@dataclass(frozen=True)
class Tree:
    """A decision tree with its nodes numbered from 0, the root.

    Attributes
    ----------
    left, right : array of int, shape (n_nodes,)
        Child nodes; -1 for leaves.
    feature : array of int, shape (n_nodes,)
        Index of the feature that a node compares.
    threshold : array of float, shape (n_nodes,)
        Threshold of the comparison; rows with a smaller feature go left.
    missing_left : array of bool, shape (n_nodes,)
        Whether rows with a missing value go left.
    value : array of float, shape (n_nodes,)
        What a leaf adds to the output.
    output : int
        Index of the output that the tree contributes to.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.floating]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.floating]
    output: int


def add_xgboost(graph: Graph, features: str, model: "XGBModel") -> str:
    """Add the trees of an XGBoost model, in 32 bits like XGBoost, and return the name of their output.

    Returns
    -------
    str
        Name of the output. Regression: the prediction, float, shape (n_rows, 1). Classification: the probabilities,
        float, shape (n_rows, n_classes).

    Raises
    ------
    NotConvertible
        If the booster is not gbtree, the objective is not one that the pipeline uses, or a tree splits by categories.
    """
    booster = model.get_booster()
    learner = json.loads(booster.save_raw("json"))["learner"]
    objective, kind = learner["objective"]["name"], learner["gradient_booster"]["name"]
    if kind != "gbtree" or objective not in (*IDENTITY_OBJECTIVES, *OBJECTIVES):
        raise NotConvertible(
            f"XGBoost's booster {kind!r} with objective {objective!r} has no counterpart in ONNX",
            f"use booster: gbtree and one of {', '.join((*IDENTITY_OBJECTIVES, *OBJECTIVES))}",
        )
    base = np.atleast_1d(np.asarray(json.loads(learner["learner_model_param"]["base_score"]), dtype=np.float32))
    if objective == "binary:logistic":
        base = -np.log(np.float32(1) / base - np.float32(1))
    elif objective in LOG_OBJECTIVES:
        base = np.log(base)
    n_outputs = max(1, int(learner["learner_model_param"]["num_class"]))
    base = np.broadcast_to(base, n_outputs)
    ensemble = learner["gradient_booster"]["model"]
    # The base score comes first, as in XGBoost: the order of a sum determines its rounding.
    trees = [_single_leaf(value, output) for output, value in enumerate(base)]
    trees += [_tree(tree, output) for tree, output in zip(ensemble["trees"], ensemble["tree_info"], strict=True)]
    margin = _add_trees(graph, features, trees, LESS, n_outputs)
    if objective in IDENTITY_OBJECTIVES:
        return margin
    exact = graph.cast(margin, "DOUBLE")  # ONNX Runtime approximates Exp and Softmax in 32 bits
    if objective in LOG_OBJECTIVES:
        return graph.cast(graph.node("Exp", exact), "FLOAT")
    if objective == "multi:softprob":
        return graph.cast(graph.node("Softmax", exact, axis=1), "FLOAT")
    one = graph.constant(1.0)
    inverse = graph.node("Add", one, graph.node("Exp", graph.node("Neg", exact)))
    second = graph.cast(graph.node("Div", one, inverse), "FLOAT")
    first = graph.node("Sub", graph.constant(np.float32(1)), second)
    return graph.node("Concat", first, second, axis=1)


def add_forest(graph: Graph, features: str, model: "RandomForestRegressor | RandomForestClassifier") -> str:
    """Add the trees of a random forest, in 64 bits like scikit-learn, and return the name of their output.

    Each tree outputs the index of the leaf that a row falls in. The leaves' values (means, or shares of classes) are
    looked up by that index and averaged over the trees.

    Returns
    -------
    str
        Name of the output. Regression: the prediction, double, shape (n_rows, 1). Classification: the probabilities,
        double, shape (n_rows, n_classes).
    """
    trees, leaf_values = [], []
    n_leaves = 0
    for output, estimator in enumerate(model.estimators_):
        tree = estimator.tree_
        is_leaf = tree.children_left == -1
        leaf_index = n_leaves + np.cumsum(is_leaf) - 1
        n_leaves += int(is_leaf.sum())
        missing_left = np.asarray(tree.missing_go_to_left, dtype=bool)
        trees.append(
            Tree(tree.children_left, tree.children_right, tree.feature, tree.threshold, missing_left,
                 leaf_index.astype(np.float64), output)
        )  # fmt: skip
        leaf_values.append(tree.value[is_leaf, 0, :])
    table = np.concatenate(leaf_values)
    check_size(table.nbytes)
    leaves = graph.cast(_add_trees(graph, graph.cast(features, "DOUBLE"), trees, LESS_OR_EQUAL, len(trees)), "INT64")
    values = graph.node("Gather", graph.constant(table), leaves, axis=0)
    total = graph.node("ReduceSum", values, graph.constant([1]), keepdims=0)
    return graph.node("Div", total, graph.constant(np.float64(len(trees))))


def _tree(tree: dict[str, Any], output: int) -> Tree:
    """Return a tree from XGBoost's JSON."""
    if any(tree["split_type"]) or tree.get("categories"):
        raise NotConvertible(
            "XGBoost's trees with categorical splits have no counterpart in ONNX",
            "fit without enable_categorical, or serve the MLflow model",
        )
    left, right, feature = (np.asarray(tree[key]) for key in ("left_children", "right_children", "split_indices"))
    threshold = np.asarray(tree["split_conditions"], dtype=np.float32)  # of a leaf: its value
    return Tree(left, right, feature, threshold, np.asarray(tree["default_left"], dtype=bool), threshold, output)


def _single_leaf(value: np.float32, output: int) -> Tree:
    no_child, zero = np.array([-1]), np.array([0])
    return Tree(no_child, no_child, zero, np.zeros(1, np.float32), np.array([False]), np.array([value]), output)


def _add_trees(graph: Graph, features: str, trees: Sequence[Tree], comparison: int, n_outputs: int) -> str:
    """Add trees, summed per output in the type of the thresholds and features, and return their output's name."""
    check_size(sum(len(tree.left) for tree in trees) * (SPLIT_BYTES + LEAF_BYTES) // 2)
    tree_attributes = []
    n_splits = n_leaves = 0
    for tree in trees:
        attributes = _attributes(tree, n_splits, n_leaves)
        tree_attributes.append(attributes)
        n_splits += len(attributes["nodes_featureids"])
        n_leaves += len(attributes["leaf_weights"])
    ensemble_attributes: dict[str, Any] = {
        name: np.concatenate([attributes[name] for attributes in tree_attributes]) for name in tree_attributes[0]
    }
    return graph.node(
        "TreeEnsemble",
        features,
        domain="ai.onnx.ml",
        n_targets=n_outputs,
        aggregate_function=SUM,
        post_transform=NO_TRANSFORM,
        nodes_modes=np.full(n_splits, comparison, dtype=np.uint8),
        **ensemble_attributes,
    )


def _attributes(tree: Tree, n_splits: int, n_leaves: int) -> dict[str, NDArray[Any]]:
    """Return a tree's attributes for the TreeEnsemble operator, which numbers splits and leaves separately.

    Parameters
    ----------
    tree : Tree
    n_splits, n_leaves : int
        The numbers of splits and leaves in the preceding trees.
    """
    is_leaf = tree.left == -1
    if is_leaf[0]:  # ONNX requires a split in each tree: add one whose two children are the leaf
        child, child_is_leaf = np.array([n_leaves]), np.array([1])
        is_split, left, right = np.zeros(0, dtype=bool), child, child
        left_leaf = right_leaf = child_is_leaf
        feature, threshold, missing = np.array([0]), tree.threshold[:1] * 0, np.array([0])
        value = tree.value[:1]
    else:
        is_split = ~is_leaf
        index = np.where(is_leaf, n_leaves + np.cumsum(is_leaf), n_splits + np.cumsum(is_split)) - 1
        left, right = index[tree.left[is_split]], index[tree.right[is_split]]
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
