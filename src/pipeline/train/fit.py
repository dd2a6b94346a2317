"""Cross-validate a model family, fit it on all training rows, and test it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.learn.candidate import Candidate, Sampled
from pipeline.learn.cross_validation import CrossValidation
from pipeline.learn.families import Family, Importance, family
from pipeline.learn.learner import Learner, Problem
from pipeline.learn.parallel import run_parallel
from pipeline.learn.space import Choice, Space
from pipeline.learn.task import Task
from pipeline.params.schema import TrainParams
from pipeline.support.cluster import Cluster
from pipeline.support.memory import release_memory
from pipeline.support.processes import available_processors
from pipeline.train.cluster_fits import ClusterFits
from pipeline.train.evaluation import Evaluation, Metrics
from pipeline.train.external_memory import Train, rows_to_fit, train_here
from pipeline.train.feature_rows import batches
from pipeline.train.shards import train_on
from pipeline.train.training_data import TrainingData


@dataclass(frozen=True)
class Fitter:
    """A model family and the data to fit it on.

    Attributes
    ----------
    family : Family
    data : TrainingData
        With only the features to fit on.
    learner : Learner
        The learner of the family for this data.
    device : {"cpu", "cuda"}
        Where the family fits.
    train : callable
        How XGBoost is fitted on features on disk: in this process or on a cluster.
    """

    family: Family
    data: TrainingData
    learner: Learner
    device: str
    train: Train = train_here

    @classmethod
    def from_params(
        cls, name: str, params: TrainParams, data: TrainingData, cluster: Cluster | None = None
    ) -> "Fitter":
        """Return the fitter of a model family, configured by params.yaml.

        Parameters
        ----------
        name : str
            One of `pipeline.learn.families.names`.
        params : TrainParams
        data : TrainingData
        cluster : Cluster, optional
            Fits the shards of the training rows, for the engine ``dask``.
        """
        fixed, space = parameters_of(name, params, data.task, data.y_train)
        device = params.device_of(name)
        problem = Problem(
            task=data.task,
            fixed=fixed,
            space=space,
            search=params.search,
            seed=params.seed,
            n_jobs=params.n_jobs or available_processors(),
            scaler=data.scaler,
            folds=data.fold_tables(),
            device=device,
            run_fits=ClusterFits(cluster) if cluster else run_parallel,
        )
        model_family = family(name)
        train = train_on(cluster, params.shards) if cluster else train_here
        return cls(model_family, data, model_family.learner(problem), device, train)


@dataclass(frozen=True)
class Selection:
    """Hyperparameters for the final fit, and their cross-validation scores."""

    sampled: Sampled
    scores: CrossValidation


@dataclass(frozen=True)
class FitResult:
    """A fitted model and its scores.

    Attributes
    ----------
    model : estimator
        Fitted on all training rows.
    sampled : dict
        The values of the searched hyperparameters.
    effective_params : dict
        All parameters of the estimator, by its own names.
    scores : CrossValidation
        Scores and curves of exactly these hyperparameters and rounds.
    fold_metrics : list of dict
        Metrics of each fold's validation rows.
    metrics : dict of str to float
        Metrics of the test rows, and mean and standard deviation over the folds.
    importance : dict of dict
        Importance of every feature, for each measure; the first measure selects features.
    outputs : array, shape (n_test,) or (n_test, n_classes)
        Predictions, or probabilities of the classes, for the test rows.
    threshold : float, optional
        Probability from which the positive class is predicted; None: the most probable class is.
    """

    model: Any
    features: list[str]
    sampled: Sampled
    effective_params: Sampled
    scores: CrossValidation
    fold_metrics: list[Metrics]
    metrics: Metrics
    importance: Importance
    outputs: NDArray[Any]
    threshold: float | None = None

    @property
    def main_importance(self) -> dict[str, float]:
        """The importance of every feature, by the measure that selects features."""
        return next(iter(self.importance.values()))


def parameters_of(name: str, params: TrainParams, task: Task, y_train: NDArray[Any]) -> tuple[Sampled, Space]:
    """Return the fixed hyperparameters and the search space of a family for a target.

    ``balanced`` is replaced by its value, and only objectives for such a target are left.
    """
    model_family = family(name)
    fixed, space = {**model_family.defaults, **params.params.get(name, {})}, dict(params.space_of(name))
    _check_objective(name, fixed, space, params, task, y_train)
    weight = model_family.positive_weight
    if weight is None or weight not in {**fixed, **space}:
        return fixed, space
    if task.n_classes != 2:
        raise PipelineError(
            f"params.yaml sets {weight} of {name}, but the target does not have two classes",
            "remove it: it is the weight of the positive class in a binary classification",
        )
    if fixed.get(weight) == "balanced":
        fixed[weight] = balanced_weight(y_train)
    choices = space.get(weight)
    if isinstance(choices, list) and "balanced" in choices:
        space[weight] = [balanced_weight(y_train) if choice == "balanced" else choice for choice in choices]
    return fixed, space


def _check_objective(
    name: str, fixed: Sampled, space: Space, params: TrainParams, task: Task, y_train: NDArray[Any]
) -> None:
    """Leave only the objectives in `space` that suit the target; a single one is added to `fixed` instead.

    Raises
    ------
    PipelineError
        If params.yaml names an objective that does not.
    """
    lows = {} if task.labels else family(name).objectives
    valid = [objective for objective, low in lows.items() if low <= y_train.min()]
    named = [fixed["objective"]] if "objective" in fixed else params.search.space.get(name, {}).get("objective", [])
    for objective in named if isinstance(named, list) else []:
        if objective not in valid:
            limit = "above 0" if lows.get(str(objective)) else "of at least 0"
            raise PipelineError(
                f"params.yaml sets objective {objective} of {name}, which does not suit the target"
                + (f": it needs values {limit}, but the smallest is {y_train.min():g}" if valid else ""),
                f"use one of {', '.join(valid)}" if valid else "remove it: it is for regressions",
            )
    listed = space.pop("objective", [])
    choices: list[Choice] = [choice for choice in valid if isinstance(listed, list) and choice in listed]
    if len(choices) > 1:
        space["objective"] = choices
    elif choices:
        fixed["objective"] = choices[0]


def choose(learner: Learner, best: Candidate | None) -> Selection:
    """Return the hyperparameters of the best candidate, or the fixed ones without a search, cross-validated."""
    sampled, rounds = learner.final_params(best)
    return Selection(sampled, learner.cross_validate(sampled, rounds, choose_round=True))


def fit(
    fitter: Fitter,
    chosen: Selection,
    evaluation: Evaluation,
    logging: Callable[[Any], AbstractContextManager[object]] = nullcontext,
) -> FitResult:
    """Return the model fitted on all training rows, evaluated on the test rows and the folds.

    Parameters
    ----------
    fitter : Fitter
    chosen : Selection
        Chosen with the same learner.
    evaluation : Evaluation
    logging : callable, optional
        ``logging(model)`` returns the context to fit the model in.
    """
    data, learner, scores = fitter.data, fitter.learner, chosen.scores
    model = learner.estimator(chosen.sampled, scores.n_rounds, data.y_train)
    effective_params = learner.effective_params(model)
    release_memory()  # of the search, because the fit needs the most
    # Autologging records the function that fits XGBoost on disk, so it begins within that context.
    with rows_to_fit(data.X_train, data.y_train, fitter.train) as (X, y), logging(model):
        learner.fit(model, X, y)
    predict = model.predict_proba if data.task.labels else model.predict
    with learner.on_device(model):
        outputs = np.concatenate([np.asarray(predict(X), np.float64) for X in batches(data.X_test)])
    threshold = evaluation.choose_threshold(scores.outputs)
    fold_metrics = evaluation.score_folds(scores.outputs, threshold)
    return FitResult(
        model=model,
        features=data.features,
        sampled=chosen.sampled,
        effective_params=effective_params,
        scores=scores,
        fold_metrics=fold_metrics,
        metrics=evaluation.score_test(outputs, threshold) | evaluation.summarize_folds(fold_metrics),
        importance=fitter.family.importance(model, data.X_search, data.y_search),
        outputs=outputs,
        threshold=threshold,
    )


def balanced_weight(y_train: NDArray[Any]) -> float:
    """Return the number of negative training rows for each positive one in a binary classification."""
    positive = int(y_train.sum())
    return (len(y_train) - positive) / positive
