"""Write the output files of stage model_train: the winner, a summary of all experiments, and plot data."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pipeline.features.decision import predicted_classes
from pipeline.learn.metrics import round_significant
from pipeline.learn.task import Task
from pipeline.support.files import atomic_write, write_json
from pipeline.support.paths import BEST_METRICS, BEST_MODEL_INFO, EXPERIMENTS_SUMMARY, PLOTS
from pipeline.train.experiments import ExperimentRun, Setup
from pipeline.train.fit import FitResult

PLOTTED_ROWS = 500
CONFUSED_ROWS = 5000


def write_outputs(ranked: list[ExperimentRun], setup: Setup, folder: Path) -> None:
    """Write the ids, metrics and plot data of the winner (the first experiment), and a summary of all experiments."""
    winner, fitted, data = ranked[0], ranked[0].fitted, setup.data
    info = {
        "mlflow_run_id": winner.run_id,
        "model_uri": f"models:/{winner.model_id}",
        "model_id": winner.model_id,
        "run_name": winner.run_name,
        "family": winner.family,
        "experiment_name": setup.params.train.experiment_name,
        "model_sha256": winner.model_sha256,
        "data_sha256": setup.provenance.profile["sha256"]["raw"],
        "feature_names": fitted.features,
    }
    _write_plots(fitted, data.task, data.y_test, folder / PLOTS)
    summary = {"chosen_by": setup.evaluation.chosen_by, "experiments": [_summary(experiment) for experiment in ranked]}
    write_json(folder / EXPERIMENTS_SUMMARY, summary)
    write_json(
        folder / BEST_METRICS, {name: round_significant(value) for name, value in sorted(fitted.metrics.items())}
    )
    write_json(folder / BEST_MODEL_INFO, info)


def _write_plots(fitted: FitResult, task: Task, y_test: NDArray[Any], folder: Path) -> None:
    scores = fitted.scores
    curves = zip(scores.rounds, _mean_curve(scores.train_curves), _mean_curve(scores.valid_curves), strict=True)
    _write_csv(folder / "learning_curve.csv", ["round", f"train_{task.loss}", f"valid_{task.loss}"], curves)
    importance = fitted.main_importance
    total = sum(importance.values()) or 1.0
    shares = sorted(((value / total, name) for name, value in importance.items()), reverse=True)
    _write_csv(folder / "importance.csv", ["feature", "share"], ((name, share) for share, name in shares))
    if task.labels:
        y_pred = predicted_classes(fitted.outputs, fitted.threshold)
        actual, predicted = (task.decode(y[:CONFUSED_ROWS]) for y in (y_test, y_pred))
        _write_csv(folder / "confusion.csv", ["actual", "predicted"], zip(actual, predicted, strict=True))
    else:
        rows = zip(y_test[:PLOTTED_ROWS], fitted.outputs[:PLOTTED_ROWS], strict=True)
        _write_csv(folder / "predicted_vs_actual.csv", ["actual", "predicted"], rows)


def _summary(experiment: ExperimentRun) -> dict[str, Any]:
    fitted = experiment.fitted
    return {
        "run_name": experiment.run_name,
        "family": experiment.family,
        "mlflow_run_id": experiment.run_id,
        "model_id": experiment.model_id,
        "model_sha256": experiment.model_sha256,
        "n_features": len(fitted.features),
        "rounds": fitted.scores.n_rounds,
        "params": fitted.sampled,
        "metrics": fitted.metrics,
    }


def _mean_curve(curves: list[list[float]]) -> list[float]:
    return [sum(values) / len(values) for values in zip(*curves, strict=True)]


def _write_csv(path: Path, header: list[str], rows: Iterable[tuple[object, ...]]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(
            [round_significant(value) if isinstance(value, float) else value for value in row] for row in rows
        )
