"""One experiment: parameters found or given, a final fit, its test, and the record of all in one MLflow run."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.learn.candidate import Sampled
from pipeline.learn.cross_validation import CrossValidation, by_fold
from pipeline.learn.families import Family, family
from pipeline.learn.learner import Learner
from pipeline.learn.progress import best_of
from pipeline.learn.search import search
from pipeline.learn.search_space import n_candidates
from pipeline.learn.task import Task
from pipeline.params.schema import Params
from pipeline.store.open import logged_model_of
from pipeline.train.autologging import autologging
from pipeline.train.evaluation import Evaluation
from pipeline.train.fit import Fitted, fit, learner_of
from pipeline.train.provenance import Provenance
from pipeline.train.raw_rows_view import RawRowsView, add_raw_rows_view
from pipeline.train.reference_profile import profile_of_outputs
from pipeline.train.report.report import log_report
from pipeline.train.runs import NestedRuns, experiment_run
from pipeline.train.tables import Tables

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_METRICS = 1000  # that MLflow takes at once
EXPERIMENT, PRODUCTION_CANDIDATE = "experiment", "production_candidate"  # values of the tag `stage`


@dataclass(frozen=True)
class Setup:
    """What the experiments of one training share."""

    client: "MlflowClient"
    experiment_id: str
    params: Params
    tables: Tables
    evaluation: Evaluation
    provenance: Provenance


@dataclass(frozen=True)
class Experiment:
    """A finished experiment run, of the model family `family`."""

    run_id: str
    run_name: str
    family: str
    model_id: str
    model_sha256: str
    fitted: Fitted


def run_experiment(
    setup: Setup,
    family_name: str,
    run_name: str,
    features: list[str],
    like: Experiment | None = None,
    search_seed: int = 0,
) -> Experiment:
    """Run one experiment.

    Parameters
    ----------
    setup : Setup
    family_name : str
        One of `pipeline.learn.families.names`.
    run_name : str
    features : list of str
        The features to train on.
    like : Experiment, optional
        Take its parameters and rounds; search when absent.
    search_seed : int
        Of the search.
    """
    import mlflow

    client, params, tables = setup.client, setup.params, setup.tables
    used = family(family_name)
    tags = {
        "version": __version__,
        "stage": EXPERIMENT,
        "family": family_name,
        "reproducible": str(params.train.search.time_budget is None).lower(),
    }
    with experiment_run(setup.experiment_id, run_name, tags) as run_id:
        setup.provenance.log(client, run_id)
        mlflow.log_params(
            {
                "n_features": len(features),
                "search_seed": None if like else search_seed,
                "search_rows": tables.n_search_rows,
                "flux_features_extracted": tables.transformer.n_flux_features,
            }
        )
        nested = NestedRuns(client, setup.experiment_id, run_id, run_name, family_name, tables.task.loss)
        learner = learner_of(family_name, used, params.train, tables, features)
        if like:
            found = like.fitted.sampled, learner.cross_validate(like.fitted.sampled, like.fitted.scores.n_rounds, False)
        else:
            found = _find(setup, family_name, learner, run_name, search_seed, nested)
        fitted = fit(used, learner, found, tables, features, setup.evaluation, autologging(used.flavour, used.autolog))
        for number, metrics in enumerate(fitted.of_folds, start=1):
            nested.record_fold(number, metrics, fitted.scores.n_rounds)
        _log_numbers(client, run_id, fitted, used, tables.task)
        model_id = logged_model_of(client.get_run(run_id))
        view = RawRowsView(tables.transformer, features, tables.task, tables.example)
        profile = tables.reference | profile_of_outputs(tables.task, fitted.outputs)
        hashes = add_raw_rows_view(client, model_id, used.file.name, view, profile)
        mlflow.set_tags(hashes)
        log_report(run_name, used, fitted, tables, params)
    return Experiment(run_id, run_name, family_name, model_id, hashes["model_sha256"], fitted)


def _find(
    setup: Setup, family_name: str, learner: Learner, run_name: str, seed: int, nested: NestedRuns
) -> tuple[Sampled, CrossValidation]:
    """Search where there is something to search, and cross-validate what was found."""
    params, best = setup.params.train.search, None
    if setup.params.train.space_of(family_name):
        candidates = search(params, learner, seed, nested.record_candidate)
        total = n_candidates(params, learner.sampled_space)
        best = best_of(candidates, total, run_name, setup.tables.task.loss)
    sampled, rounds = learner.final(best)
    return sampled, learner.cross_validate(sampled, rounds, choose_round=True)


def _log_numbers(client: "MlflowClient", run_id: str, fitted: Fitted, used: Family, task: Task) -> None:
    import mlflow
    from mlflow.entities import Metric

    mlflow.log_metrics({**fitted.metrics, **by_fold(fitted.scores.fold_scores, task.loss)})
    mlflow.log_params(fitted.stated)
    mlflow.log_dict(
        {
            "feature_names": fitted.features,
            "n_features": len(fitted.features),
            "model_type": used.estimators[task.labels is not None],
        },
        "model_info.json",
    )
    losses, now = used.train_losses(fitted.model), int(time.time() * 1000)
    metrics = [Metric("train_loss", value, now, epoch) for epoch, value in enumerate(losses, start=1)]
    for start in range(0, len(metrics), MOST_METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + MOST_METRICS])


def important_features(experiment: Experiment, share: float) -> list[str]:
    """Return the fewest features that bring `share` of the model's total importance, in the model's order."""
    importance = experiment.fitted.chosen_importance
    ranked = sorted(importance, key=lambda name: -importance[name])
    total, kept, reached = sum(importance.values()), set[str](), 0.0
    for name in ranked:
        if kept and reached >= share * total:
            break
        kept.add(name)
        reached += importance[name]
    return [name for name in experiment.fitted.features if name in kept]
