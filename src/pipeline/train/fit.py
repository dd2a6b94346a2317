"""The fits of an experiment: a model family on training data, cross-validated, fitted on all rows, tested."""

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
from pipeline.learn.space import Space
from pipeline.learn.task import Task
from pipeline.params.schema import TrainParams
from pipeline.support.memory import release_memory
from pipeline.train.evaluation import Evaluation, Metrics
from pipeline.train.training_data import TrainingData


@dataclass(frozen=True)
class Fitter:
    """A model family at work on training data.

    Attributes
    ----------
    family : Family
    data : TrainingData
        With the features to fit on and no others.
    learner : Learner
        Of this family and data.
    """

    family: Family
    data: TrainingData
    learner: Learner

    @classmethod
    def of(cls, name: str, params: TrainParams, data: TrainingData) -> "Fitter":
        """Put a model family to work by its section of params.yaml.

        Parameters
        ----------
        name : str
            One of `pipeline.learn.families.names`.
        params : TrainParams
        data : TrainingData
        """
        fixed, space = parameters_of(name, params, data.task, data.y_train)
        problem = Problem(
            task=data.task,
            fixed=fixed,
            space=space,
            search=params.search,
            seed=params.seed,
            n_jobs=params.n_jobs,
            scaler=data.scaler,
            folds=data.fold_tables(),
        )
        used = family(name)
        return cls(used, data, used.learner(problem))


@dataclass(frozen=True)
class Chosen:
    """Parameters that were found or given, and what exactly these scored on the folds."""

    sampled: Sampled
    scores: CrossValidation


@dataclass(frozen=True)
class Fitted:
    """A model and what it scored.

    Attributes
    ----------
    model : estimator
        Fitted on all training rows.
    sampled : dict
        The parameters that were searched.
    stated : dict
        Effective parameters by the estimator's own names.
    scores : CrossValidation
        Of exactly these parameters and rounds, with curves.
    of_folds : list of dict
        Metrics of each fold's validation rows.
    metrics : dict of str to float
        Of the test rows, and over the folds.
    importance : dict of dict
        Measures by name, each a number for every feature; the first chooses features.
    outputs : array, shape (n_test,) or (n_test, n_classes)
        Predictions, or probabilities, of the test rows.
    """

    model: Any
    features: list[str]
    sampled: Sampled
    stated: Sampled
    scores: CrossValidation
    of_folds: list[Metrics]
    metrics: Metrics
    importance: Importance
    outputs: NDArray[Any]

    @property
    def chosen_importance(self) -> dict[str, float]:
        """The measure that chooses features."""
        return next(iter(self.importance.values()))


def parameters_of(name: str, params: TrainParams, task: Task, y_train: NDArray[Any]) -> tuple[Sampled, Space]:
    """Return what is fixed and what is searched of a model family, with the number that ``balanced`` stands for."""
    used = family(name)
    fixed, space = {**used.defaults, **params.params.get(name, {})}, dict(params.space_of(name))
    weight = used.positive_weight
    if weight is None or weight not in {**fixed, **space}:
        return fixed, space
    if task.n_classes != 2:
        raise PipelineError(
            f"params.yaml names {weight} of {name}, and the target has not two labels",
            "remove it: it weighs the positive of two labels",
        )
    if fixed.get(weight) == "balanced":
        fixed[weight] = balanced_weight(y_train)
    choices = space.get(weight)
    if isinstance(choices, list) and "balanced" in choices:
        space[weight] = [balanced_weight(y_train) if choice == "balanced" else choice for choice in choices]
    return fixed, space


def choose(learner: Learner, best: Candidate | None) -> Chosen:
    """Cross-validate what the best candidate of a search stands for; without one, what is fixed."""
    sampled, rounds = learner.final(best)
    return Chosen(sampled, learner.cross_validate(sampled, rounds, choose_round=True))


def fit(
    fitter: Fitter,
    chosen: Chosen,
    evaluation: Evaluation,
    logging: AbstractContextManager[object] | None = None,
) -> Fitted:
    """Fit on all training rows and judge on test rows and folds.

    Parameters
    ----------
    fitter : Fitter
    chosen : Chosen
        By its learner.
    evaluation : Evaluation
    logging : context manager, optional
        In which the fit takes place.
    """
    data, learner, scores = fitter.data, fitter.learner, chosen.scores
    model = learner.estimator(chosen.sampled, scores.n_rounds, data.y_train)
    stated = learner.stated(model)
    release_memory()  # the search's, before what takes most
    with logging or nullcontext():
        learner.fit(model, data.X_train, data.y_train)
    predict = model.predict_proba if data.task.labels else model.predict
    outputs = np.asarray(predict(data.X_test), np.float64)
    of_folds = evaluation.of_folds(scores.outputs)
    return Fitted(
        model=model,
        features=data.features,
        sampled=chosen.sampled,
        stated=stated,
        scores=scores,
        of_folds=of_folds,
        metrics=evaluation.of_test(outputs) | evaluation.over_folds(of_folds),
        importance=fitter.family.importance(model, data.X_train, data.y_train),
        outputs=outputs,
    )


def balanced_weight(y_train: NDArray[Any]) -> float:
    """Return how many negative training rows there are for each positive one of two labels."""
    positive = int(y_train.sum())
    return (len(y_train) - positive) / positive
