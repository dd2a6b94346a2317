"""Random forests (scikit-learn)."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.model_files import PICKLE
from pipeline.learn.candidate import Sampled
from pipeline.learn.estimators import Estimators, Outputs, Recipe, all_classes
from pipeline.learn.families import Family, Importance
from pipeline.learn.learner import FoldTables, Problem
from pipeline.learn.space import Parameter, Range


def make(problem: Problem, sampled: Sampled, rounds: int) -> Any:
    """Return an unfitted forest, which handles missing values natively."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    params = {**problem.fixed, **sampled, "n_estimators": rounds, "random_state": problem.seed}
    if isinstance(params.get("max_features"), int):
        params["max_features"] = float(params["max_features"])  # a share; to scikit-learn, the int 1 means one feature
    if problem.task.labels:
        return RandomForestClassifier(**params)
    params.pop("class_weight", None)
    return RandomForestRegressor(**params)


def writable(X: pd.DataFrame) -> pd.DataFrame:
    """Return features in an array that scikit-learn can check for missing values.

    The check needs a writable array, but pandas exposes a single column as a read-only one. Converting it to float64
    copies it without changing the values.
    """
    return X.astype(np.float64) if X.shape[1] == 1 else X


def fit_staged(
    forest: Any, fold: FoldTables, scored: Sequence[int], with_train: bool, n_classes: int
) -> Iterator[tuple[Outputs, Outputs]]:
    """Fit a forest and yield its outputs for training and validation rows as trees are added."""
    X_train, y_train, X_valid, _ = fold
    forest.fit(writable(X_train), y_train)
    tables = [X_train.to_numpy(np.float32) if with_train else np.empty((0, X_train.shape[1]), np.float32)]
    tables.append(X_valid.to_numpy(np.float32))
    totals: list[Any] = [np.zeros((len(X), n_classes) if n_classes else len(X)) for X in tables]
    for number, tree in enumerate(forest.estimators_, start=1):
        for index, X in enumerate(tables):
            if len(X):
                outputs = (tree.predict_proba if n_classes else tree.predict)(X, check_input=False)
                totals[index] += all_classes(outputs, forest.classes_, n_classes) if n_classes else outputs
        if number in scored:
            yield totals[0] / number, totals[1] / number


def importance(model: Any, X: pd.DataFrame, y: NDArray[Any]) -> Importance:
    """Return each feature's mean decrease of impurity (Breiman, *Random Forests*, 2001)."""
    return {"impurity": dict(zip(X.columns, map(float, model.feature_importances_), strict=True))}


def explain(model: Any, X: pd.DataFrame, background: pd.DataFrame) -> tuple[NDArray[Any], NDArray[np.float64], str]:
    """Compute exact SHAP values with shap's TreeSHAP; with the base value they sum to the prediction."""
    import shap

    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    ensemble = explainer.model
    # shap sends all missing values to the right; use the direction that each tree learned.
    for index, tree in enumerate(model.estimators_):
        nodes = slice(0, tree.tree_.node_count)
        left, right = ensemble.children_left[index, nodes], ensemble.children_right[index, nodes]
        ensemble.children_default[index, nodes] = np.where(tree.tree_.missing_go_to_left.astype(bool), left, right)
    values = np.asarray(explainer.shap_values(X, check_additivity=False))
    base_values = np.asarray(explainer.expected_value, np.float64).reshape(values.shape[2:])
    if values.ndim == 3 and values.shape[2] == 2:  # keep the positive class
        values, base_values = values[:, :, 1], base_values[1]
    return values, base_values, "probability" if hasattr(model, "classes_") else ""


def explainable_rows(model: Any, row_rounds: int, n_fits: int) -> int:
    """Return how many rows can be explained in about five seconds.

    The time is estimated, so that the plots are reproducible: shap's TreeSHAP takes about 1 ns per row, leaf and
    squared depth.
    """
    work = sum(tree.get_n_leaves() * max(tree.get_depth(), 1) ** 2 for tree in model.estimators_)
    return max(1, int(5e9 / work))


FAMILY = Family(
    flavor="sklearn",
    autolog={"log_post_training_metrics": False},  # they would be metrics of the training set
    file=PICKLE,
    estimators=("RandomForestRegressor", "RandomForestClassifier"),
    rounds_label="trees",
    parameters={
        "n_estimators": Parameter(1, 10_000, whole=True),
        "max_depth": Parameter(1, 1000, whole=True, words=(None,)),
        "min_samples_split": Parameter(2, 1e9, whole=True),
        "min_samples_leaf": Parameter(1, 1e9, whole=True),
        "max_features": Parameter(0, 1, above=True, words=("sqrt", "log2", None)),
        "max_leaf_nodes": Parameter(2, 1e9, whole=True, words=(None,)),
        "class_weight": Parameter(1, 0, words=("balanced", "balanced_subsample", None)),
    },
    defaults={
        "n_estimators": 200,
        "max_depth": 20,
        "min_samples_split": 5,
        "min_samples_leaf": 2,
    },
    space={
        "max_depth": Range(low=8, high=24),
        "max_features": Range(low=0.2, high=1.0),
        "min_samples_leaf": Range(low=1, high=8),
    },
    learner=partial(
        Estimators,
        Recipe(
            make=make,
            fit_staged=fit_staged,
            rounds_name="n_estimators",
            compare_rounds=50,
            has_best_round=False,
            effective_params=lambda forest: forest.get_params(),
            table=writable,
        ),
    ),
    importance=importance,
    explain=explain,
    explainable_rows=explainable_rows,
    quick_rank=1,
)
