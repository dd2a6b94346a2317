"""The pictures and tables by which a person judges an experiment run."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.train import plots
from pipeline.train.cross_validation import CrossValidation
from pipeline.train.tables import Tables

if TYPE_CHECKING:
    from xgboost import Booster

IMPORTANCE_KINDS = ("weight", "gain", "cover", "total_gain")


def log_report(
    run_name: str,
    booster: "Booster",
    scores: CrossValidation,
    tables: Tables,
    y_pred: NDArray[np.float64],
    target: str,
    explain_rows: int,
    seed: int,
) -> None:
    """Log the pictures of the active run, and the numbers behind its importances.

    Parameters
    ----------
    run_name : str
    booster : xgboost.Booster
        The fitted model.
    scores : CrossValidation
        With curves.
    tables : Tables
    y_pred : array of float64, shape (n_test,)
    target : str
        Name of the target, for titles.
    explain_rows : int
        At most so many test rows are explained by SHAP values; how many were is logged.
    seed : int
        Of the choice of those rows.
    """
    import mlflow

    features = feature_names(booster)
    figures = {
        "learning_curve.png": plots.learning_curve_plot(scores, run_name),
        "residuals.png": plots.residuals_plot(tables.y_test, y_pred, target, run_name),
        "predicted_vs_actual.png": plots.predicted_vs_actual_plot(tables.y_test, y_pred, target, run_name),
    }
    for kind in IMPORTANCE_KINDS:
        values = importance(booster, kind)
        mlflow.log_dict(values, f"feature_importance_{kind}.json")
        figures[f"feature_importance_{kind}.png"] = plots.importance_plot(values, kind, run_name)
    rows = tables.X_test[features]
    if len(rows) > explain_rows:
        rows = rows.sample(explain_rows, random_state=seed)
    mlflow.log_param("shap_rows", len(rows))
    explanation = plots.explain(booster, rows)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a script matplotlib's font lacks shows as boxes
        figures[f"shap_summary_{run_name}.png"] = plots.shap_summary_plot(explanation, run_name)
        figures[f"shap_importance_bar_{run_name}.png"] = plots.shap_importance_plot(explanation, run_name)
        for name, figure in figures.items():
            mlflow.log_figure(figure, name, save_kwargs={"dpi": plots.DPI, "bbox_inches": "tight"})


def feature_names(booster: "Booster") -> list[str]:
    """Return the features a model was fitted on, in order."""
    return list(booster.feature_names or [])


def importance(booster: "Booster", kind: str) -> dict[str, float]:
    """Return every feature's importance by XGBoost's measure `kind`, 0 for features no split uses."""
    scores = booster.get_score(importance_type=kind)
    return {name: float(np.max(scores.get(name, 0.0))) for name in feature_names(booster)}
