"""Gradient-boosted trees (XGBoost)."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.model_files import XGBOOST
from pipeline.learn.boosting import Boosting
from pipeline.learn.families import Family, Importance
from pipeline.learn.space import Parameter, Range

# Their predictions are the exponential of the sum of the trees, for targets that are not negative.
LOG_OBJECTIVES = ("reg:tweedie", "reg:gamma")
OBJECTIVES = {"reg:squarederror": -math.inf, "reg:tweedie": 0.0, "reg:gamma": 1e-30}
IMPORTANCE_KINDS = ("total_gain", "weight", "gain", "cover")


def importance(model: Any, X: pd.DataFrame, y: NDArray[Any]) -> Importance:
    """Return the importance of every feature by XGBoost's measures; 0 for features that no split uses."""
    booster = model.get_booster()
    scores_by_kind = {kind: booster.get_score(importance_type=kind) for kind in IMPORTANCE_KINDS}
    return {
        kind: {name: float(np.max(scores.get(name, 0.0))) for name in X.columns}
        for kind, scores in scores_by_kind.items()
    }


def explain(model: Any, X: pd.DataFrame, background: pd.DataFrame) -> tuple[NDArray[Any], NDArray[np.float64], str]:
    """Compute exact SHAP values with XGBoost's TreeSHAP; with the base value they sum to the margin."""
    from xgboost import DMatrix

    booster = model.get_booster()
    values = booster.predict(DMatrix(X), pred_contribs=True)
    if values.ndim == 3:  # (n_rows, n_classes, n_features + 1), the base value last
        return values[:, :, :-1].transpose(0, 2, 1), np.asarray(values[0, :, -1], np.float64), "log-odds"
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    unit = "log-odds" if hasattr(model, "classes_") else "log" if objective in LOG_OBJECTIVES else ""
    return values[:, :-1], np.asarray(values[0, -1], np.float64), unit


def explainable_rows(model: Any, row_rounds: int, n_fits: int) -> int:
    """Return how many rows can be explained in a tenth of the time of cross-validation and final fit.

    The times are estimated, so that the plots are reproducible. Measured with two threads on 20,000 and 200,000 rows:
    TreeSHAP takes 10 ns per row, leaf and level; growing a tree takes 5 ns per row and level, and 10,000 ns per leaf
    (level by level, depths 4 to 8) to 25,000 (leaf by leaf, 24 and 90 leaves).
    """
    booster = model.get_booster()
    config = json.loads(booster.save_config())["learner"]["gradient_booster"]["tree_train_param"]
    splits = sum(float(np.max(value)) for value in booster.get_score(importance_type="weight").values())
    n_trees = len(booster.get_dump()) if hasattr(model, "classes_") else booster.num_boosted_rounds()
    leaves = n_trees + splits
    levels = int(config["max_depth"]) or math.ceil(math.log2(leaves / n_trees)) + 1
    if max_leaves := int(config["max_leaves"]):
        levels = min(levels, max_leaves)
    trees_per_round = n_trees // booster.num_boosted_rounds()
    per_leaf = 25_000 if config["grow_policy"] == "lossguide" else 10_000
    nanoseconds = 5 * levels * row_rounds * trees_per_round + per_leaf * n_fits * leaves
    return max(1, int(nanoseconds / 10 / (10 * leaves * levels)))


FAMILY = Family(
    flavor="xgboost",
    autolog={"importance_types": []},  # the report has its own importance plots
    file=XGBOOST,
    estimators=("XGBRegressor", "XGBClassifier"),
    rounds_label="boosting rounds",
    parameters={
        "learning_rate": Parameter(1e-6, 1),
        "max_depth": Parameter(1, 30, whole=True),
        "max_leaves": Parameter(0, 2**16, whole=True),
        "min_child_weight": Parameter(),
        "max_delta_step": Parameter(),
        "gamma": Parameter(),
        "subsample": Parameter(0, 1, above=True),
        "colsample_bytree": Parameter(0, 1, above=True),
        "colsample_bylevel": Parameter(0, 1, above=True),
        "colsample_bynode": Parameter(0, 1, above=True),
        "reg_alpha": Parameter(),
        "reg_lambda": Parameter(),
        "scale_pos_weight": Parameter(above=True, words=("balanced",)),
        "objective": Parameter(high=-1, words=tuple(OBJECTIVES)),
    },
    defaults={},
    space={
        "objective": list(OBJECTIVES),
        "learning_rate": Range(low=0.03, high=0.3, log=True),
        "max_leaves": Range(low=4, high=96),
        "min_child_weight": Range(low=0.1, high=20.0, log=True),
        "subsample": Range(low=0.5, high=1.0),
        "colsample_bytree": Range(low=0.3, high=1.0),
        "reg_lambda": Range(low=0.03, high=30.0, log=True),
    },
    learner=Boosting,
    importance=importance,
    explain=explain,
    explainable_rows=explainable_rows,
    uses_gpu=True,
    positive_weight="scale_pos_weight",
    objectives=OBJECTIVES,
    alternatives={"max_leaves": "max_depth"},
    quick_options={"learning_rate": "learning_rate"},
    quick_rank=2,
)
