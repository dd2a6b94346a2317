"""Stage 2, model_train: three experiments, and the ids and numbers of the one that wins."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.files import replacing, write_json
from pipeline.memory import release_memory
from pipeline.metrics import rounded
from pipeline.params import Params
from pipeline.paths import BEST_METRICS, BEST_MODEL_INFO, EXPERIMENTS_SUMMARY, PLOTS
from pipeline.tracking import open_experiment, open_store
from pipeline.train.experiments import Experiment, Setup, important_features, run_experiment
from pipeline.train.provenance import provenance_of
from pipeline.train.tables import Tables, load_tables

PLOTTED_ROWS = 500


def train(params: Params, folder: Path) -> list[Experiment]:
    """Run the three experiments on the prepared tables and write which one won.

    Parameters
    ----------
    params : Params
    folder : Path
        The pipeline folder. Written below it: ids and numbers of the winner; models go to the MLflow store only.

    Returns
    -------
    list of Experiment
        The winner, by cross-validated RMSE, first.

    Raises
    ------
    PipelineError
        When the prepared tables or the store cannot be used.
    """
    if params.dataset.task != "regression":
        raise PipelineError(
            "model_train takes regressions only, and dataset.task in params.yaml is classification",
            "choose a numeric target and set dataset.task: regression",
        )
    (folder / PLOTS).mkdir(parents=True, exist_ok=True)  # now, not after an hour of training
    tables = load_tables(folder, params)
    release_memory()
    n_rows, search = len(tables.y_train), params.train.search
    if tables.n_search_rows < n_rows:
        print(f"model_train: searching on {tables.n_search_rows:,} of {n_rows:,} training rows (search.max_rows)")
    if search.time_budget is not None:
        print(f"model_train: searching for {search.time_budget:g} seconds: the same seed may give another model")
    client = open_store()
    experiment_id = open_experiment(client, params.train.experiment_name)
    setup = Setup(client, experiment_id, params, tables, provenance_of(folder, params, tables))

    every = list(tables.X_train.columns)
    seed = params.train.seed
    tuned = _shown(run_experiment(setup, "exp1_tuned", every, search_seed=seed))
    important = important_features(tuned, params.train.important_gain)
    reduced = _shown(run_experiment(setup, "exp2_important_features", important, like=tuned))
    selected = _shown(run_experiment(setup, "exp3_tuned_selected", important, search_seed=seed + 1))

    ranked = sorted([tuned, reduced, selected], key=lambda experiment: experiment.metrics["cv_rmse_mean"])
    write_outputs(ranked, tables, params, folder)
    print(f"model_train: {ranked[0].run_name} wins by cv_rmse_mean; its run is {ranked[0].run_id}")
    return ranked


def write_outputs(ranked: list[Experiment], tables: Tables, params: Params, folder: Path) -> None:
    """Write the ids and numbers of the winner (first in `ranked`) and a summary of all experiments."""
    winner = ranked[0]
    info = {
        "mlflow_run_id": winner.run_id,
        "model_uri": f"models:/{winner.model_id}",
        "model_id": winner.model_id,
        "run_name": winner.run_name,
        "experiment_name": params.train.experiment_name,
        "model_sha256": winner.model_sha256,
        "data_sha256": tables.profile["sha256"]["raw"],
        "feature_names": winner.features,
    }
    _write_csv(
        folder / PLOTS / "learning_curve.csv",
        ["round", "train_rmse", "valid_rmse"],
        zip(
            winner.scores.rounds,
            _mean_curve(winner.scores.train_curves),
            _mean_curve(winner.scores.valid_curves),
            strict=True,
        ),
    )
    total = sum(winner.gain.values()) or 1.0
    importances = sorted(((value / total, name) for name, value in winner.gain.items()), reverse=True)
    _write_csv(folder / PLOTS / "importance.csv", ["feature", "gain"], ((name, share) for share, name in importances))
    rows = zip(tables.y_test[:PLOTTED_ROWS], winner.y_pred[:PLOTTED_ROWS], strict=True)
    _write_csv(folder / PLOTS / "predicted_vs_actual.csv", ["actual", "predicted"], rows)
    write_json(
        folder / EXPERIMENTS_SUMMARY, {"chosen_by": "cv_rmse_mean", "experiments": [_summary(e) for e in ranked]}
    )
    write_json(folder / BEST_METRICS, {name: rounded(value) for name, value in sorted(winner.metrics.items())})
    write_json(folder / BEST_MODEL_INFO, info)


def _shown(experiment: Experiment) -> Experiment:
    metrics = experiment.metrics
    deviation = float(f"{metrics['cv_rmse_std']:.3g}")
    print(
        f"{experiment.run_name}: {len(experiment.features)} features, {experiment.n_estimators} rounds, "
        f"cv_rmse {metrics['cv_rmse_mean']:.6g} ± {deviation:g}, test_rmse {metrics['test_rmse']:.6g} "
        f"(baseline {metrics['baseline_rmse']:.6g})",
        flush=True,
    )
    return experiment


def _summary(experiment: Experiment) -> dict[str, Any]:
    return {
        "run_name": experiment.run_name,
        "mlflow_run_id": experiment.run_id,
        "model_id": experiment.model_id,
        "model_sha256": experiment.model_sha256,
        "n_features": len(experiment.features),
        "n_estimators": experiment.n_estimators,
        "params": experiment.sampled,
        "metrics": experiment.metrics,
    }


def _mean_curve(curves: list[list[float]]) -> list[float]:
    return [sum(values) / len(values) for values in zip(*curves, strict=True)]


def _write_csv(path: Path, header: list[str], rows: Iterable[tuple[object, ...]]) -> None:
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([rounded(value) if isinstance(value, float) else value for value in row] for row in rows)
