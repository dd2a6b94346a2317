"""Stage 2, model_train: run three experiments for each model family and select the winner."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.learn.families import check_installed, family
from pipeline.params.schema import Params
from pipeline.support.cluster import Cluster, cluster_of
from pipeline.support.memory import collect_garbage_as_usual, release_memory
from pipeline.support.paths import PLOTS, remove_unfinished_outputs
from pipeline.support.progress import progress
from pipeline.train.device import resolve_device
from pipeline.train.evaluation import Evaluation
from pipeline.train.experiments import (
    PRODUCTION_CANDIDATE,
    ExperimentRun,
    Plan,
    Setup,
    run_experiment,
    select_important_features,
)
from pipeline.train.features_folder import features_folder
from pipeline.train.fit import parameters_of
from pipeline.train.outputs import write_outputs
from pipeline.train.suspicion import suspicion
from pipeline.train.tables import Tables, load_tables


@dataclass(frozen=True)
class Training:
    """The finished experiments of one training.

    Attributes
    ----------
    experiments : list of Experiment
        The experiments, the winner first.
    chosen_by : str
        The logged name of the metric that ranks them.
    """

    experiments: list[ExperimentRun]
    chosen_by: str

    @property
    def winner(self) -> ExperimentRun:
        """The best experiment."""
        return self.experiments[0]


def train(params: Params, folder: Path) -> Training:
    """Run three experiments for each model family on the prepared tables, and write which one wins.

    Parameters
    ----------
    params : Params
    folder : Path
        The pipeline folder. Ids and metrics of the winner are written below it; models go to the MLflow store only.

    Returns
    -------
    Training
        The experiments, ranked by the ``evaluate.choose_by`` metric.

    Raises
    ------
    PipelineError
        When the prepared tables, the store, the custom metrics, a model family or the GPU cannot be used.
    """
    check_installed(params.train.models)
    params = resolve_device(params)
    remove_unfinished_outputs(folder)
    (folder / PLOTS).mkdir(parents=True, exist_ok=True)  # fails now rather than after the training
    with features_folder(params, folder) as features, cluster_of(params.train.engine, folder) as cluster:
        return _train(params, folder, load_tables(folder, params, features, cluster), cluster)


def _train(params: Params, folder: Path, tables: Tables, cluster: Cluster | None) -> Training:
    data = tables.data
    evaluation = Evaluation.from_params(params.evaluate, data, tables.rows, folder)
    release_memory()
    n_rows, search = len(data.y_train), params.train.search
    if data.n_search_rows < n_rows:
        progress(f"model_train: searching on {data.n_search_rows:,} of {n_rows:,} training rows (search.max_rows)")
    if search.time_budget is not None:
        progress(f"model_train: searching for {search.time_budget:g} seconds: the same seed may give a different model")
    for name in params.train.models:
        fixed, space = parameters_of(name, params.train, data.task, data.y_train)  # fails before other families run
        if family(name).positive_weight in {**fixed, **space}:
            progress(
                f"model_train: {name} has {family(name).positive_weight}, but log loss without weights compares its "
                "candidates and rounds, which favors overfitting; remove it, and set evaluate.threshold"
            )
    setup = Setup.open(params, tables, evaluation, folder, cluster)
    collect_garbage_as_usual()

    experiments = [experiment for name in params.train.models for experiment in _three_experiments(setup, name)]
    ranked = sorted(experiments, key=lambda experiment: evaluation.sort_key(experiment.fitted.metrics))
    setup.client.set_tag(ranked[0].run_id, "stage", PRODUCTION_CANDIDATE)
    write_outputs(ranked, setup, folder)
    fitted, raw_columns = ranked[0].fitted, setup.view.transformer.raw_columns
    if note := suspicion(fitted.metrics, len(data.y_test), data.task.n_classes, fitted.main_importance, raw_columns):
        progress(f"model_train: note: {note}")
    return Training(ranked, evaluation.chosen_by)


def _three_experiments(setup: Setup, family_name: str) -> list[ExperimentRun]:
    """Run the experiments of one model family; their run names include it if there are several families."""
    params, features = setup.params.train, setup.data.features
    suffix = f"_{family_name}" if len(params.models) > 1 else ""

    def run(name: str, feature_names: list[str], seed: int | None, tuned: ExperimentRun | None = None) -> ExperimentRun:
        experiment = run_experiment(setup, Plan(family_name, name + suffix, feature_names, seed, tuned))
        progress(_summary_line(experiment, setup.evaluation))
        return experiment

    tuned = run("exp1_tuned", features, params.seed)
    important = select_important_features(tuned, params.important_gain)
    if important == tuned.fitted.features:
        progress(
            f"exp2_important_features{suffix}: keeps all features of {tuned.run_name} and takes its cross-validation"
        )
    reduced = run("exp2_important_features", important, None, tuned)
    selected = run("exp3_tuned_selected", important, params.seed + 1, tuned)
    return [replace(experiment, fitter=None) for experiment in (tuned, reduced, selected)]


def _summary_line(experiment: ExperimentRun, evaluation: Evaluation) -> str:
    """Return the line that reports an experiment."""
    fitted, task, chosen_by = experiment.fitted, evaluation.task, evaluation.chosen_by
    metrics, loss = fitted.metrics, task.loss
    test_loss = "log_loss" if task.labels else "test_rmse"
    deviation = float(f"{metrics[f'cv_{loss}_std']:.3g}")
    line = (
        f"{experiment.run_name}: {len(fitted.features)} features, {fitted.scores.n_rounds} "
        f"{family(experiment.family).rounds_label.split()[-1]}, cv_{loss} {metrics[f'cv_{loss}_mean']:.6g} "
        f"± {deviation:g}, {test_loss} {metrics[test_loss]:.6g} "
        f"(baseline {metrics[f'baseline_{loss}']:.6g})"
    )
    if task.labels:
        line += f", accuracy {metrics['accuracy']:.4g}"
    if fitted.threshold is not None:
        line += f", f1 {metrics['f1']:.4g} at threshold {fitted.threshold:.3g}"
    if chosen_by == f"cv_{loss}_mean":
        return line
    chosen = chosen_by.removeprefix("cv_").removesuffix("_mean")
    test_value = metrics.get(chosen, metrics.get(f"test_{chosen}", math.nan))
    return f"{line}, {chosen} {test_value:.4g} (cv {metrics[chosen_by]:.4g})"
