"""The pictures, tables and texts by which a person judges an experiment run."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.learn.families import BACKGROUND_ROWS, Family
from pipeline.learn.metrics import predicted_classes
from pipeline.params.schema import Params
from pipeline.train.fit import Fitted
from pipeline.train.report import class_plots, plots
from pipeline.train.tables import Tables, columns_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Figures = dict[str, "Figure"]


def log_report(run_name: str, family: Family, fitted: Fitted, tables: Tables, params: Params) -> None:
    """Log the pictures of the active run, and the numbers behind them.

    Parameters
    ----------
    run_name : str
    family : Family
    fitted : Fitted
    tables : Tables
    params : Params
    """
    import mlflow

    task = tables.task
    figures: Figures = {
        "learning_curve.png": plots.learning_curve_plot(fitted.scores, run_name, family.rounds, task.loss)
    }
    figures |= _of_classes(fitted, tables, run_name) if task.labels else _of_numbers(fitted, tables, params, run_name)
    for place, (kind, values) in enumerate(fitted.importance.items()):
        name = f"feature_importance_{kind}" if place else "feature_importance"  # the one that chooses features
        mlflow.log_dict(values, f"{name}.json")
        figures[f"{name}.png"] = plots.importance_plot(values, kind, run_name)
    explained = explain(family, fitted, tables, params)
    mlflow.log_param("shap_rows", len(explained.X))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a script matplotlib's font lacks shows as boxes
        figures[f"shap_summary_{run_name}.png"] = plots.shap_summary_plot(explained, run_name)
        figures[f"shap_importance_bar_{run_name}.png"] = plots.shap_importance_plot(explained, run_name)
        for name, figure in figures.items():
            mlflow.log_figure(figure, name, save_kwargs={"dpi": plots.DPI, "bbox_inches": "tight"})


def explain(family: Family, fitted: Fitted, tables: Tables, params: Params) -> plots.Explained:
    """Compute SHAP values of test rows, as many as do not take long beside the training."""
    rounds, n_train = fitted.scores.n_rounds, len(tables.y_train)
    row_rounds = (sum(len(fold.train) for fold in tables.folds) + n_train) * rounds
    affordable = family.explainable_rows(fitted.model, row_rounds, len(tables.folds) + 1)
    rows = columns_of(tables.X_test, fitted.features)
    if len(rows) > min(params.train.explain_rows, affordable):
        rows = rows.sample(min(params.train.explain_rows, affordable), random_state=params.train.seed)
    values, _, unit = family.explain(fitted.model, rows, rows[:BACKGROUND_ROWS])
    return plots.Explained(rows, np.asarray(values, dtype=np.float64), *_units(unit, tables))


def _units(unit: str, tables: Tables) -> tuple[str, str]:
    if not tables.task.labels:
        return "in the target's unit", "in the target's unit"
    of_last = f"{unit} of {plots.short(tables.task.texts[-1])}"
    return (of_last if tables.task.n_classes == 2 else f"{unit}, mean of the labels"), of_last


def _of_numbers(fitted: Fitted, tables: Tables, params: Params, run_name: str) -> Figures:
    target = params.dataset.target
    return {
        "residuals.png": plots.residuals_plot(tables.y_test, fitted.outputs, target, run_name),
        "predicted_vs_actual.png": plots.predicted_vs_actual_plot(tables.y_test, fitted.outputs, target, run_name),
    }


def _of_classes(fitted: Fitted, tables: Tables, run_name: str) -> Figures:
    import mlflow

    y_test, y_proba, labels = tables.y_test, fitted.outputs, tables.task.texts
    y_pred = predicted_classes(y_proba)
    counts = confusion(tables, y_proba)
    mlflow.log_dict(class_plots.confusion_json(counts, labels), "confusion_matrix.json")
    mlflow.log_text(class_plots.classification_report_text(y_test, y_pred, labels), "classification_report.txt")
    return {
        "confusion_matrix.png": class_plots.confusion_matrix_plot(counts, labels, run_name),
        "roc_curve.png": class_plots.roc_curve_plot(y_test, y_proba, labels, run_name),
        "pr_curve.png": class_plots.pr_curve_plot(y_test, y_proba, labels, run_name),
        "calibration.png": class_plots.calibration_plot(y_test, y_proba, labels, run_name),
    }


def confusion(tables: Tables, y_proba: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return how many test rows of each class (rows) were predicted to be of each class (columns)."""
    return class_plots.confusion_counts(tables.y_test, predicted_classes(y_proba), tables.task.n_classes)
