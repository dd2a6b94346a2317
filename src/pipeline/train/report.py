"""The pictures and tables by which a person judges an experiment run."""

import json
import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.params import Params
from pipeline.train import plots
from pipeline.train.cross_validation import CrossValidation
from pipeline.train.tables import Tables, columns_of

if TYPE_CHECKING:
    from xgboost import Booster

IMPORTANCE_KINDS = ("weight", "gain", "cover", "total_gain")


def log_report(
    run_name: str,
    booster: "Booster",
    scores: CrossValidation,
    tables: Tables,
    y_pred: NDArray[np.float64],
    params: Params,
) -> None:
    """Log the pictures of the active run, and the numbers behind its importances.

    Parameters
    ----------
    run_name : str
    booster : xgboost.Booster
        The fitted model.
    scores : CrossValidation
    tables : Tables
    y_pred : array of float64, shape (n_test,)
    params : Params
    """
    import mlflow

    features, target = feature_names(booster), params.dataset.target
    figures = {
        "learning_curve.png": plots.learning_curve_plot(scores, run_name),
        "residuals.png": plots.residuals_plot(tables.y_test, y_pred, target, run_name),
        "predicted_vs_actual.png": plots.predicted_vs_actual_plot(tables.y_test, y_pred, target, run_name),
    }
    for kind in IMPORTANCE_KINDS:
        values = importance(booster, kind)
        mlflow.log_dict(values, f"feature_importance_{kind}.json")
        figures[f"feature_importance_{kind}.png"] = plots.importance_plot(values, kind, run_name)
    rows = columns_of(tables.X_test, features)
    n_rows = min(params.train.explain_rows, affordable_rows(booster, scores, tables))
    if len(rows) > n_rows:
        rows = rows.sample(n_rows, random_state=params.train.seed)
    mlflow.log_param("shap_rows", len(rows))
    explanation = plots.explain(booster, rows)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a script matplotlib's font lacks shows as boxes
        figures[f"shap_summary_{run_name}.png"] = plots.shap_summary_plot(explanation, run_name)
        figures[f"shap_importance_bar_{run_name}.png"] = plots.shap_importance_plot(explanation, run_name)
        for name, figure in figures.items():
            mlflow.log_figure(figure, name, save_kwargs={"dpi": plots.DPI, "bbox_inches": "tight"})


def affordable_rows(booster: "Booster", scores: CrossValidation, tables: Tables) -> int:
    """Return how many rows can be explained in a tenth of the time that cross-validation and final fit took.

    The times are not measured, which would give other pictures each time, but counted. Measured with two threads on
    20,000 and 200,000 rows, depths 4 to 8: TreeSHAP takes 10 ns for each row, leaf and level; growing a tree takes
    5 ns for each row and level, and 10,000 ns for each leaf.
    """
    config = json.loads(booster.save_config())["learner"]["gradient_booster"]["tree_train_param"]
    n_trees, leaves = (
        booster.num_boosted_rounds(),
        booster.num_boosted_rounds() + sum(importance(booster, "weight").values()),
    )
    levels = int(config["max_depth"]) or math.ceil(math.log2(leaves / n_trees)) + 1
    in_folds = sum(len(fold.train) for fold in tables.folds) * scores.n_rounds
    grown = (len(tables.folds) + 1) * leaves
    nanoseconds = 5 * levels * (in_folds + len(tables.y_train) * n_trees) + 10_000 * grown
    return max(1, int(nanoseconds / 10 / (10 * leaves * levels)))


def feature_names(booster: "Booster") -> list[str]:
    """Return the features a model was fitted on, in order."""
    return list(booster.feature_names or [])


def importance(booster: "Booster", kind: str) -> dict[str, float]:
    """Return every feature's importance by XGBoost's measure `kind`, 0 for features no split uses."""
    scores = booster.get_score(importance_type=kind)
    return {name: float(np.max(scores.get(name, 0.0))) for name in feature_names(booster)}
