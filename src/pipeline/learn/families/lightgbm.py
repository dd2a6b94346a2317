"""Gradient-boosted trees (LightGBM)."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.model_files import PICKLE
from pipeline.learn.candidate import Sampled
from pipeline.learn.estimators import Estimators, Outputs, Recipe
from pipeline.learn.families import Family, Importance
from pipeline.learn.learner import FoldTables, Problem
from pipeline.learn.space import Parameter, Range

# With them, equal data give equal models, with any number of threads. 0 means OpenMP's number: any other one would be
# part of the model.
REPRODUCIBLE: Sampled = {"deterministic": True, "force_row_wise": True, "n_jobs": 0}
PYTHON_PARAMS = {"n_estimators", "n_jobs", "class_weight", "importance_type"}  # not of LightGBM's native interface
OBJECTIVES = {0: "regression", 2: "binary"}  # by number of classes


def make(problem: Problem, sampled: Sampled, rounds: int) -> Any:
    """Return an unfitted estimator, which handles missing values natively."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    estimator_class = LGBMClassifier if problem.task.labels else LGBMRegressor
    params = {**problem.fixed, **sampled, "n_estimators": rounds, "random_state": problem.seed, **REPRODUCIBLE}
    objective = OBJECTIVES.get(problem.task.n_classes, "multiclass")
    return estimator_class(objective=objective, subsample_freq=1, verbosity=-1, **params)


def numbered(X: pd.DataFrame) -> pd.DataFrame:
    """Return features with numbers as names, because LightGBM refuses names with brackets, colons or commas.

    It predicts from columns in the same order, whatever their names.
    """
    return X.set_axis(range(X.shape[1]), axis=1)


def fit_staged(
    model: Any, fold: FoldTables, scored: Sequence[int], with_train: bool, n_classes: int
) -> Iterator[tuple[Outputs, Outputs]]:
    """Fit round by round, with one thread; yield the outputs for training and validation rows after scored rounds.

    The native interface takes the number of classes, so a fold may lack one.
    """
    from lightgbm import Booster, Dataset

    X_train, y_train, X_valid, y_valid = fold
    params = {name: value for name, value in model.get_params().items() if name not in PYTHON_PARAMS}
    params |= {"num_threads": 1, "metric": "None"} | ({"num_class": n_classes} if n_classes > 2 else {})
    train = Dataset(X_train.to_numpy(np.float32), y_train, params=params)
    booster = Booster(params, train)
    booster.add_valid(Dataset(X_valid.to_numpy(np.float32), y_valid, reference=train, params=params), "valid")

    def outputs(evaluate: Callable[..., object]) -> Outputs:
        """Return what LightGBM passes to a metric."""
        found: list[Outputs] = []

        def metric(values: Outputs, _: Dataset) -> tuple[str, float, bool]:
            found.append(np.column_stack([1 - values, values]) if n_classes == 2 else values.copy())
            return "", 0.0, False

        evaluate(metric)
        return found[0]

    for number in range(1, scored[-1] + 1):
        booster.update()
        if number in scored:
            valid = outputs(booster.eval_valid)
            yield outputs(booster.eval_train) if with_train else valid, valid


def importance(model: Any, X: pd.DataFrame, y: NDArray[Any]) -> Importance:
    """Return the importance of every feature by LightGBM's measures: total gain and number of splits."""
    return {
        kind: dict(zip(X.columns, map(float, model.booster_.feature_importance(kind)), strict=True))
        for kind in ("gain", "split")
    }


def explain(model: Any, X: pd.DataFrame, background: pd.DataFrame) -> tuple[NDArray[Any], NDArray[np.float64], str]:
    """Compute exact SHAP values with LightGBM's TreeSHAP; with the base value they sum to the raw score."""
    # For each class the values of all features, then the base value.
    values = model.booster_.predict(X, pred_contrib=True).reshape(len(X), -1, X.shape[1] + 1).transpose(0, 2, 1)
    if values.shape[2] == 1:
        values = values[:, :, 0]
    return values[:, :-1], np.asarray(values[0, -1], np.float64), "log-odds" if hasattr(model, "classes_") else ""


def explainable_rows(model: Any, row_rounds: int, n_fits: int) -> int:
    """Return how many rows can be explained in about five seconds.

    The time is estimated, so that the plots are reproducible: with two threads, TreeSHAP takes about 20 ns per row,
    leaf and squared logarithm of the leaves of a tree (measured with 8, 31 and 128 leaves).
    """
    n_trees = model.booster_.num_trees()
    leaves = n_trees + int(model.booster_.feature_importance("split").sum())
    return max(1, int(5e9 / (20 * leaves * max(math.log2(leaves / n_trees), 1) ** 2)))


FAMILY = Family(
    # Autologging of the flavor `lightgbm` writes skops files, whose bytes differ between equal models.
    flavor="sklearn",
    autolog={"log_post_training_metrics": False},  # they would be metrics of the training set
    file=PICKLE,
    estimators=("LGBMRegressor", "LGBMClassifier"),
    rounds_label="boosting rounds",
    parameters={
        "learning_rate": Parameter(1e-6, 1),
        "num_leaves": Parameter(2, 2**17, whole=True),
        "max_depth": Parameter(-1, 1000, whole=True),
        "min_child_samples": Parameter(1, 1e9, whole=True),
        "min_child_weight": Parameter(),
        "min_split_gain": Parameter(),
        "subsample": Parameter(0, 1, above=True),
        "colsample_bytree": Parameter(0, 1, above=True),
        "reg_alpha": Parameter(),
        "reg_lambda": Parameter(),
        "scale_pos_weight": Parameter(above=True, words=("balanced",)),
    },
    defaults={},
    space={
        "learning_rate": Range(low=0.03, high=0.3, log=True),
        "num_leaves": Range(low=4, high=96),
        "min_child_samples": Range(low=2, high=60),
        "subsample": Range(low=0.5, high=1.0),
        "colsample_bytree": Range(low=0.3, high=1.0),
        "reg_lambda": Range(low=0.03, high=30.0, log=True),
    },
    learner=partial(
        Estimators,
        Recipe(
            make=make,
            fit_staged=fit_staged,
            rounds_name="n_estimators",
            compare_rounds=400,
            has_best_round=True,
            stops_early=True,
            effective_params=lambda model: model.get_params(),
            table=numbered,
        ),
    ),
    importance=importance,
    explain=explain,
    explainable_rows=explainable_rows,
    package="lightgbm",
    positive_weight="scale_pos_weight",
    quick_options={"learning_rate": "learning_rate"},
    quick_rank=4,
)
