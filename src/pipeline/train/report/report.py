"""Log plots, tables and texts of an experiment run."""

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.decision import predicted_classes
from pipeline.learn.families import BACKGROUND_ROWS
from pipeline.learn.task import Task
from pipeline.params.schema import Params, TrainParams
from pipeline.train.feature_rows import take_rows
from pipeline.train.fit import FitResult, Fitter
from pipeline.train.report import class_plots, plots
from pipeline.train.report.beeswarm import shap_summary_plot
from pipeline.train.report.canvas import png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Figures = dict[str, "Figure"]


def log_report(run_name: str, fitter: Fitter, fitted: FitResult, params: Params) -> None:
    """Log the plots of the active run, and their data.

    Parameters
    ----------
    run_name : str
    fitter : Fitter
    fitted : FitResult
        The result of the fitter.
    params : Params
    """
    import mlflow

    task, y_test = fitter.data.task, fitter.data.y_test
    figures: Figures = {
        "learning_curve.png": plots.learning_curve_plot(fitted.scores, run_name, fitter.family.rounds_label, task.loss)
    }
    if task.labels:
        figures |= _classification_figures(task, y_test, fitted, run_name)
    else:
        figures |= _regression_figures(params.dataset.target, y_test, fitted.outputs, run_name)
    for position, (kind, values) in enumerate(fitted.importance.items()):
        name = f"feature_importance_{kind}" if position else "feature_importance"  # the measure that selects features
        mlflow.log_dict(values, f"{name}.json")
        figures[f"{name}.png"] = plots.importance_plot(values, kind, run_name)
    explanation = explain(fitter, fitted, params.train)
    mlflow.log_param("shap_rows", len(explanation.X))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # characters missing in matplotlib's font show as boxes
        figures[f"shap_summary_{run_name}.png"] = shap_summary_plot(explanation, run_name)
        figures[f"shap_importance_bar_{run_name}.png"] = plots.shap_importance_plot(explanation, run_name)
        with tempfile.TemporaryDirectory() as folder:
            for name, figure in figures.items():
                (Path(folder) / name).write_bytes(png(figure))
            mlflow.log_artifacts(folder)


def explain(fitter: Fitter, fitted: FitResult, params: TrainParams) -> plots.Explanation:
    """Return SHAP values of test rows; on a CPU, of few enough to take little time compared with the training."""
    family, data, limit = fitter.family, fitter.data, params.explain_rows
    if fitter.device == "cpu":
        rounds, n_train = fitted.scores.n_rounds, len(data.y_train)
        row_rounds = (sum(len(fold.train) for fold in data.folds) + n_train) * rounds
        limit = min(limit, family.explainable_rows(fitted.model, row_rounds, len(data.folds) + 1))
    positions = pd.Series(np.arange(len(data.y_test)))
    if len(positions) > limit:
        positions = positions.sample(limit, random_state=params.seed)
    rows = take_rows(data.X_test, positions.to_numpy())
    with fitter.learner.on_device(fitted.model):
        values, _, unit = family.explain(fitted.model, rows, rows[:BACKGROUND_ROWS])
    return plots.Explanation(rows, np.asarray(values, dtype=np.float64), *_units(unit, data.task))


def _units(unit: str, task: Task) -> tuple[str, str]:
    if not task.labels:
        return ("in the logarithm of the target" if unit == "log" else "in the target's unit",) * 2
    unit_of_last = f"{unit} of {plots.shorten(task.texts[-1])}"
    return (unit_of_last if task.n_classes == 2 else f"{unit}, mean over the classes"), unit_of_last


def _regression_figures(target: str, y_test: NDArray[Any], y_pred: NDArray[np.float64], run_name: str) -> Figures:
    return {
        "residuals.png": plots.residuals_plot(y_test, y_pred, target, run_name),
        "predicted_vs_actual.png": plots.predicted_vs_actual_plot(y_test, y_pred, target, run_name),
    }


def _classification_figures(task: Task, y_test: NDArray[Any], fitted: FitResult, run_name: str) -> Figures:
    import mlflow

    y_proba, labels = fitted.outputs, task.texts
    y_pred = predicted_classes(y_proba, fitted.threshold)
    counts = class_plots.confusion_counts(y_test, y_pred, task.n_classes)
    mlflow.log_dict(class_plots.confusion_json(counts, labels), "confusion_matrix.json")
    mlflow.log_text(class_plots.classification_report_text(y_test, y_pred, labels), "classification_report.txt")
    return {
        "confusion_matrix.png": class_plots.confusion_matrix_plot(counts, labels, run_name),
        "roc_curve.png": class_plots.roc_curve_plot(y_test, y_proba, labels, run_name),
        "pr_curve.png": class_plots.pr_curve_plot(y_test, y_proba, labels, run_name),
        "calibration.png": class_plots.calibration_plot(y_test, y_proba, labels, run_name),
    }
