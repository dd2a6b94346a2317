"""Run one experiment: choose hyperparameters, fit and test a model, and record everything in one MLflow run."""

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.learn.cross_validation import per_fold_metrics
from pipeline.learn.learner import Learner
from pipeline.learn.progress import track_best
from pipeline.learn.search import count_candidates, search
from pipeline.params.schema import Params
from pipeline.store.open import logged_model_id, open_experiment, open_store
from pipeline.store.stale_runs import end_stale_runs
from pipeline.support.cluster import Cluster, versions
from pipeline.tables.table_report import REPORT_FILE, table_report
from pipeline.train.autologging import autologging
from pipeline.train.device import gpu_memory_errors
from pipeline.train.evaluation import Evaluation
from pipeline.train.fit import FitResult, Fitter, Selection, choose, fit
from pipeline.train.provenance import Provenance, collect_provenance
from pipeline.train.raw_rows_view import RawRowsView, add_raw_rows_view
from pipeline.train.reference_profile import Profile, profile_of_outputs
from pipeline.train.report.report import log_report
from pipeline.train.runs import NestedRuns, experiment_run
from pipeline.train.tables import Tables
from pipeline.train.training_data import TrainingData

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_METRICS = 1000  # maximum that MLflow accepts in one batch
EXPERIMENT, PRODUCTION_CANDIDATE = "experiment", "production_candidate"  # values of the tag `stage`


@dataclass(frozen=True)
class Setup:
    """The inputs that all experiment runs of one training share.

    Attributes
    ----------
    client : MlflowClient
    experiment_id : str
    params : Params
    data : TrainingData
        With all features.
    view : RawRowsView
        The view of a model with all features.
    reference : dict
        The reference profile of the training rows.
    evaluation : Evaluation
    provenance : Provenance
    table_report : str
        An HTML page about the training rows.
    cluster : Cluster, optional
        For the engine ``dask``.
    """

    client: "MlflowClient"
    experiment_id: str
    params: Params
    data: TrainingData
    view: RawRowsView
    reference: Profile
    evaluation: Evaluation
    provenance: Provenance
    table_report: str
    cluster: Cluster | None = None

    @classmethod
    def open(
        cls, params: Params, tables: Tables, evaluation: Evaluation, folder: Path, cluster: Cluster | None = None
    ) -> "Setup":
        """Open the store and the experiment, and collect the provenance of a training in `folder`."""
        client = open_store()
        end_stale_runs(client)
        experiment_id = open_experiment(client, params.train.experiment_name)
        provenance = collect_provenance(folder, params, tables.profile, tables.samples)
        title = f"Training rows of {Path(params.dataset.path).name}"
        return cls(
            client,
            experiment_id,
            params,
            tables.data,
            tables.view,
            tables.reference,
            evaluation,
            provenance,
            table_report(tables.preview, params.dataset.target, title, len(tables.data.y_train)),
            cluster,
        )


@dataclass(frozen=True)
class ExperimentRun:
    """A finished experiment run.

    `fitter` has the bins of its folds, for experiments of the same features; None once the family's are finished.
    """

    run_id: str
    run_name: str
    family: str
    model_id: str
    model_sha256: str
    fitted: FitResult
    fitter: Fitter | None = None


@dataclass(frozen=True)
class Plan:
    """The plan of an experiment run.

    Attributes
    ----------
    family : str
        A model family, one of `pipeline.learn.families.names`.
    run_name : str
    features : list of str
        The features to train on.
    search_seed : int or None
        Random seed of the search; None uses the hyperparameters and rounds of `tuned`.
    tuned : ExperimentRun, optional
        The first experiment of the family.
    """

    family: str
    run_name: str
    features: list[str]
    search_seed: int | None = 0
    tuned: ExperimentRun | None = None


def run_experiment(setup: Setup, plan: Plan) -> ExperimentRun:
    """Run one experiment and record it."""
    import mlflow

    client, params = setup.client, setup.params
    device = params.train.device_of(plan.family)
    tags = {
        "version": __version__,
        "stage": EXPERIMENT,
        "family": plan.family,
        "device": device,
        **(setup.provenance.gpu_tags if device == "cuda" else {}),
        "reproducible": str(params.train.search.time_budget is None).lower(),
        "engine": params.train.engine,
        "shards": str(params.train.shards if setup.cluster else 1),
        "workers": str(len(setup.cluster.alive()) if setup.cluster else 1),
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }
    with experiment_run(setup.experiment_id, plan.run_name, tags) as run, gpu_memory_errors(device):
        run_id = run.info.run_id
        setup.provenance.log(client, run_id)
        mlflow.log_text(setup.table_report, REPORT_FILE)
        mlflow.log_params(
            {
                "n_features": len(plan.features),
                "search_seed": plan.search_seed,
                "search_rows": setup.data.n_search_rows,
                **setup.view.transformer.run_params,
            }
        )
        nested = NestedRuns(client, run, setup.data.task.loss)
        fitter = plan.tuned.fitter if plan.tuned and plan.tuned.fitted.features == plan.features else None
        if fitter is None:
            fitter = Fitter.from_params(plan.family, params.train, setup.data.only(plan.features), setup.cluster)
        family = fitter.family
        chosen = _choose(setup, plan, fitter.learner, nested)
        logging = partial(autologging, flavor=family.flavor, options=family.autolog, extra=family.package)
        fitted = fit(fitter, chosen, setup.evaluation, logging)
        for number, metrics in enumerate(fitted.fold_metrics, start=1):
            nested.record_fold(number, metrics, fitted.scores.n_rounds)
        _log_metrics_and_params(client, run_id, fitter, fitted)
        model_id = logged_model_id(client.get_run(run_id))
        view = replace(setup.view, features=plan.features, threshold=fitted.threshold)
        profile = setup.reference | profile_of_outputs(setup.data.task, fitted.outputs, fitted.threshold)
        hashes = add_raw_rows_view(client, model_id, family.file.name, view, profile)
        mlflow.set_tags(hashes)
        log_report(plan.run_name, fitter, fitted, params)
    return ExperimentRun(run_id, plan.run_name, plan.family, model_id, hashes["model_sha256"], fitted, fitter)


def _choose(setup: Setup, plan: Plan, learner: Learner, nested: NestedRuns) -> Selection:
    """Return hyperparameters: of the first experiment, of a search or, without a search space, the fixed ones."""
    tuned, space = plan.tuned, setup.params.train.space_of(plan.family)
    if tuned and tuned.fitted.features == plan.features and (plan.search_seed is None or not space):
        return Selection(tuned.fitted.sampled, tuned.fitted.scores)  # cross-validation would repeat the same fits
    if tuned and plan.search_seed is None:
        sampled, rounds = tuned.fitted.sampled, tuned.fitted.scores.n_rounds
        return Selection(sampled, learner.cross_validate(sampled, rounds, choose_round=False))
    params, best = setup.params.train.search, None
    if space and plan.search_seed is not None:
        found = tuned.fitted.sampled if tuned else None
        candidates = search(params, learner, plan.search_seed, nested.record_candidate, found)
        total = count_candidates(params, learner, found)
        best = track_best(candidates, total, plan.run_name, setup.data.task.loss)
    return choose(learner, best)


def _log_metrics_and_params(client: "MlflowClient", run_id: str, fitter: Fitter, fitted: FitResult) -> None:
    import mlflow
    from mlflow.entities import Metric

    family, task = fitter.family, fitter.data.task
    mlflow.log_metrics({**fitted.metrics, **per_fold_metrics(fitted.scores.fold_scores, task.loss)})
    mlflow.log_params(fitted.effective_params)
    mlflow.log_dict(
        {
            "feature_names": fitted.features,
            "n_features": len(fitted.features),
            "model_type": family.estimators[task.labels is not None],
        },
        "model_info.json",
    )
    losses, now = family.train_losses(fitted.model), int(time.time() * 1000)
    metrics = [Metric("train_loss", value, now, epoch) for epoch, value in enumerate(losses, start=1)]
    for start in range(0, len(metrics), MAX_METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + MAX_METRICS])


def select_important_features(experiment: ExperimentRun, share: float) -> list[str]:
    """Return the fewest features that have `share` of the total importance, in the model's order."""
    importance = experiment.fitted.main_importance
    ranked = sorted(importance, key=lambda name: -importance[name])
    total, kept, cumulative = sum(importance.values()), set[str](), 0.0
    for name in ranked:
        if kept and cumulative >= share * total:
            break
        kept.add(name)
        cumulative += importance[name]
    return [name for name in experiment.fitted.features if name in kept]
