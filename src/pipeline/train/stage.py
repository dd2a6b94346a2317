"""Stage 2, model_train: three experiments of each model family, and the ids and numbers of the one that wins."""

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.learn.families import family
from pipeline.learn.metrics import rounded
from pipeline.learn.task import Task
from pipeline.params.schema import Params
from pipeline.store.open import open_experiment, open_store
from pipeline.store.stale_runs import sweep_runs
from pipeline.support.files import replacing, write_json
from pipeline.support.memory import release_memory
from pipeline.support.paths import BEST_METRICS, BEST_MODEL_INFO, EXPERIMENTS_SUMMARY, PLOTS, sweep_outputs
from pipeline.train.evaluation import Evaluation
from pipeline.train.experiments import PRODUCTION_CANDIDATE, Experiment, Setup, important_features, run_experiment
from pipeline.train.fit import Fitted, parameters_of
from pipeline.train.provenance import provenance_of
from pipeline.train.tables import Tables, load_tables

PLOTTED_ROWS = 500
CONFUSED_ROWS = 5000


def train(params: Params, folder: Path) -> list[Experiment]:
    """Run the three experiments of each model family on the prepared tables and write which one won.

    Parameters
    ----------
    params : Params
    folder : Path
        The pipeline folder. Written below it: ids and numbers of the winner; models go to the MLflow store only.

    Returns
    -------
    list of Experiment
        The winner, by the metric that ``evaluate.choose_by`` names, first.

    Raises
    ------
    PipelineError
        When the prepared tables, the store or the user's own metric cannot be used.
    """
    sweep_outputs(folder)
    (folder / PLOTS).mkdir(parents=True, exist_ok=True)  # now, not after an hour of training
    tables = load_tables(folder, params)
    evaluation = Evaluation.of(params.evaluate, tables, folder)
    release_memory()
    n_rows, search = len(tables.y_train), params.train.search
    if tables.n_search_rows < n_rows:
        print(f"model_train: searching on {tables.n_search_rows:,} of {n_rows:,} training rows (search.max_rows)")
    if search.time_budget is not None:
        print(f"model_train: searching for {search.time_budget:g} seconds: the same seed may give another model")
    for name in params.train.models:
        parameters_of(name, family(name), params.train, tables)  # now, not after the families before
    client = open_store()
    sweep_runs(client)
    experiment_id = open_experiment(client, params.train.experiment_name)
    provenance = provenance_of(folder, params, tables)
    setup = Setup(client, experiment_id, params, tables, evaluation, provenance)

    experiments = [one for name in params.train.models for one in _three_experiments(setup, name)]
    ranked = sorted(experiments, key=lambda one: evaluation.rank(one.fitted.metrics))
    client.set_tag(ranked[0].run_id, "stage", PRODUCTION_CANDIDATE)
    write_outputs(ranked, tables, evaluation, params, folder)
    print(f"model_train: {ranked[0].run_name} wins by {evaluation.chosen_by}; its run is {ranked[0].run_id}")
    return ranked


def _three_experiments(setup: Setup, family_name: str) -> list[Experiment]:
    """Run the experiments of one model family; their names say which, where there are several."""
    params, every = setup.params.train, list(setup.tables.X_train.columns)
    suffix = f"_{family_name}" if len(params.models) > 1 else ""

    def run(name: str, features: list[str], seed: int = 0, like: Experiment | None = None) -> Experiment:
        experiment = run_experiment(setup, family_name, name + suffix, features, like, seed)
        print(_line(experiment, setup.tables.task, setup.evaluation.chosen_by), flush=True)
        return experiment

    tuned = run("exp1_tuned", every, params.seed)
    important = important_features(tuned, params.important_gain)
    reduced = run("exp2_important_features", important, like=tuned)
    selected = run("exp3_tuned_selected", important, params.seed + 1)
    return [tuned, reduced, selected]


def write_outputs(
    ranked: list[Experiment], tables: Tables, evaluation: Evaluation, params: Params, folder: Path
) -> None:
    """Write the ids and numbers of the winner (first in `ranked`) and a summary of all experiments."""
    winner, fitted = ranked[0], ranked[0].fitted
    info = {
        "mlflow_run_id": winner.run_id,
        "model_uri": f"models:/{winner.model_id}",
        "model_id": winner.model_id,
        "run_name": winner.run_name,
        "family": winner.family,
        "experiment_name": params.train.experiment_name,
        "model_sha256": winner.model_sha256,
        "data_sha256": tables.profile["sha256"]["raw"],
        "feature_names": fitted.features,
    }
    _write_plots(fitted, tables, folder / PLOTS)
    write_json(
        folder / EXPERIMENTS_SUMMARY, {"chosen_by": evaluation.chosen_by, "experiments": [_summary(e) for e in ranked]}
    )
    write_json(folder / BEST_METRICS, {name: rounded(value) for name, value in sorted(fitted.metrics.items())})
    write_json(folder / BEST_MODEL_INFO, info)


def _write_plots(fitted: Fitted, tables: Tables, folder: Path) -> None:
    scores, task = fitted.scores, tables.task
    curves = zip(scores.rounds, _mean_curve(scores.train_curves), _mean_curve(scores.valid_curves), strict=True)
    _write_csv(folder / "learning_curve.csv", ["round", f"train_{task.loss}", f"valid_{task.loss}"], curves)
    importance = fitted.chosen_importance
    total = sum(importance.values()) or 1.0
    shares = sorted(((value / total, name) for name, value in importance.items()), reverse=True)
    _write_csv(folder / "importance.csv", ["feature", "share"], ((name, share) for share, name in shares))
    if task.labels:
        truth, predicted = (task.decode(one[:CONFUSED_ROWS]) for one in (tables.y_test, fitted.outputs.argmax(axis=1)))
        _write_csv(folder / "confusion.csv", ["actual", "predicted"], zip(truth, predicted, strict=True))
    else:
        rows = zip(tables.y_test[:PLOTTED_ROWS], fitted.outputs[:PLOTTED_ROWS], strict=True)
        _write_csv(folder / "predicted_vs_actual.csv", ["actual", "predicted"], rows)


def _line(experiment: Experiment, task: Task, chosen_by: str) -> str:
    """Return what is printed of an experiment."""
    fitted, loss = experiment.fitted, task.loss
    metrics = fitted.metrics
    tested = "log_loss" if task.labels else "test_rmse"
    deviation = float(f"{metrics[f'cv_{loss}_std']:.3g}")
    line = (
        f"{experiment.run_name}: {len(fitted.features)} features, {fitted.scores.n_rounds} "
        f"{family(experiment.family).rounds.split()[-1]}, cv_{loss} {metrics[f'cv_{loss}_mean']:.6g} "
        f"± {deviation:g}, {tested} {metrics[tested]:.6g} "
        f"(baseline {metrics[f'baseline_{loss}']:.6g})"
    )
    if task.labels:
        line += f", accuracy {metrics['accuracy']:.4g}"
    if chosen_by == f"cv_{loss}_mean":
        return line
    chosen = chosen_by.removeprefix("cv_").removesuffix("_mean")
    of_test = metrics.get(chosen, metrics.get(f"test_{chosen}", math.nan))
    return f"{line}, {chosen} {of_test:.4g} (cv {metrics[chosen_by]:.4g})"


def _summary(experiment: Experiment) -> dict[str, Any]:
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
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([rounded(value) if isinstance(value, float) else value for value in row] for row in rows)
