"""One experiment: parameters found or given, a final fit, its test, and the record of all in one MLflow run."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.memory import release_memory
from pipeline.metrics import regression_metrics
from pipeline.params import Params
from pipeline.tracking import logged_model_of
from pipeline.train.cross_validation import CrossValidation, XGBoostParams, bin_folds, by_fold, cross_validate
from pipeline.train.fit import effective_params, fit, fixed_params
from pipeline.train.nested_runs import NestedRuns
from pipeline.train.progress import best_of
from pipeline.train.provenance import Provenance
from pipeline.train.raw_rows_view import add_raw_rows_view
from pipeline.train.report import importance, log_report
from pipeline.train.search import final_parameters, search
from pipeline.train.search_space import n_candidates
from pipeline.train.tables import Tables, columns_of

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Setup:
    """What the experiments of one training share."""

    client: "MlflowClient"
    experiment_id: str
    params: Params
    tables: Tables
    provenance: Provenance


@dataclass(frozen=True)
class Experiment:
    """A finished experiment run.

    Attributes
    ----------
    sampled : dict
        The parameters that were searched.
    n_estimators : int
        Boosting rounds of the final fit.
    scores : CrossValidation
        Of exactly these parameters and rounds, with curves.
    gain : dict of str to float
        Total gain of every feature in the fitted model.
    y_pred : array of float64, shape (n_test,)
    """

    run_id: str
    run_name: str
    model_id: str
    model_sha256: str
    features: list[str]
    sampled: XGBoostParams
    n_estimators: int
    metrics: dict[str, float]
    scores: CrossValidation
    gain: dict[str, float]
    y_pred: NDArray[np.float64]


def run_experiment(
    setup: Setup, run_name: str, features: list[str], like: Experiment | None = None, search_seed: int = 0
) -> Experiment:
    """Run one experiment.

    Parameters
    ----------
    setup : Setup
    run_name : str
    features : list of str
        The features to train on.
    like : Experiment, optional
        Take its parameters and rounds; search when absent.
    search_seed : int
        Of the search.
    """
    import mlflow

    client, params, tables = setup.client, setup.params.train, setup.tables
    folds = bin_folds(tables.fold_tables(features), params.n_jobs)
    with mlflow.start_run(experiment_id=setup.experiment_id, run_name=run_name) as run:
        run_id = run.info.run_id
        setup.provenance.log(client, run_id)
        mlflow.set_tag("reproducible", str(params.search.time_budget is None).lower())
        mlflow.log_params(
            {
                "n_features": len(features),
                "search_seed": None if like else search_seed,
                "search_rows": tables.n_search_rows,
            }
        )
        if like:
            sampled, rounds = like.sampled, like.n_estimators
        else:
            nested = NestedRuns(client, setup.experiment_id, run_id, run_name)
            candidates = search(params.search, fixed_params(params), folds, search_seed, nested.record)
            best = best_of(candidates, n_candidates(params.search), run_name)
            sampled, rounds = final_parameters(params.search, best)

        native = {**fixed_params(params), **sampled}
        scores = cross_validate(native, folds, rounds)
        if not like:
            scores = scores.at_best_round()
        n_estimators = scores.n_rounds
        effective = effective_params(native, folds[0])
        release_memory()  # the search's, before what takes most
        model = fit(columns_of(tables.X_train, features), tables.y_train, effective, n_estimators, params)

        y_pred = np.asarray(model.predict(columns_of(tables.X_test, features)), dtype=np.float64)
        metrics = regression_metrics(tables.y_test, y_pred, float(tables.y_train.mean()))
        metrics |= {"cv_rmse_mean": scores.rmse_mean, "cv_rmse_std": scores.rmse_std}
        mlflow.log_metrics({**metrics, **by_fold(scores.fold_rmse)})
        mlflow.log_param("n_estimators", n_estimators)
        mlflow.log_dict(
            {"feature_names": features, "n_features": len(features), "model_type": type(model).__name__},
            "model_info.json",
        )
        model_id = logged_model_of(client.get_run(run_id))
        digest = add_raw_rows_view(client, model_id, tables.transformer, features, tables.example)
        mlflow.set_tag("model_sha256", digest)
        booster = model.get_booster()
        log_report(run_name, booster, scores, tables, y_pred, setup.params)
    gain = importance(booster, "total_gain")
    return Experiment(
        run_id, run_name, model_id, digest, features, sampled, n_estimators, metrics, scores, gain, y_pred
    )


def important_features(experiment: Experiment, share: float) -> list[str]:
    """Return the fewest features that bring `share` of the model's total gain, in the model's order."""
    ranked = sorted(experiment.gain, key=lambda name: -experiment.gain[name])
    total, kept, reached = sum(experiment.gain.values()), set[str](), 0.0
    for name in ranked:
        if kept and reached >= share * total:
            break
        kept.add(name)
        reached += experiment.gain[name]
    return [name for name in experiment.features if name in kept]
