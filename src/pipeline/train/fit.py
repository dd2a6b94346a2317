"""The fits of an experiment: a learner on some features, cross-validated, fitted on all rows, tested."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.learn.candidate import Sampled
from pipeline.learn.cross_validation import CrossValidation
from pipeline.learn.families import Family, Importance
from pipeline.learn.learner import Learner, Problem
from pipeline.learn.space import Space
from pipeline.params.schema import TrainParams
from pipeline.support.memory import release_memory
from pipeline.train.evaluation import Evaluation, Metrics, rows_of
from pipeline.train.tables import Tables, columns_of, scaler_of


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


def learner_of(name: str, family: Family, params: TrainParams, tables: Tables, features: list[str]) -> Learner:
    """Return a model family at work on some features of the training table."""
    fixed, space = parameters_of(name, family, params, tables)
    problem = Problem(
        task=tables.task,
        fixed=fixed,
        space=space,
        search=params.search,
        seed=params.seed,
        n_jobs=params.n_jobs,
        scaler=scaler_of(tables.scaler, features),
        folds=tables.fold_tables(features),
    )
    return family.learner(problem)


def parameters_of(name: str, family: Family, params: TrainParams, tables: Tables) -> tuple[Sampled, Space]:
    """Return what is fixed and what is searched of a model family, with the number that ``balanced`` stands for."""
    fixed, space = {**family.defaults, **params.params.get(name, {})}, dict(params.space_of(name))
    weight = family.positive_weight
    if weight is None or weight not in {**fixed, **space}:
        return fixed, space
    if tables.task.n_classes != 2:
        raise PipelineError(
            f"params.yaml names {weight} of {name}, and the target has not two labels",
            "remove it: it weighs the positive of two labels",
        )
    if fixed.get(weight) == "balanced":
        fixed[weight] = balanced_weight(tables)
    choices = space.get(weight)
    if isinstance(choices, list) and "balanced" in choices:
        space[weight] = [balanced_weight(tables) if choice == "balanced" else choice for choice in choices]
    return fixed, space


def fit(
    family: Family,
    learner: Learner,
    found: tuple[Sampled, CrossValidation],
    tables: Tables,
    features: list[str],
    evaluation: Evaluation,
    logging: AbstractContextManager[object],
) -> Fitted:
    """Fit on all training rows and judge on test rows and folds.

    Parameters
    ----------
    family : Family
    learner : Learner
    found : (dict, CrossValidation)
        The parameters and what they scored.
    tables : Tables
    features : list of str
        Those of the learner.
    evaluation : Evaluation
    logging : context manager
        In which the fit takes place.
    """
    sampled, scores = found
    model = learner.estimator(sampled, scores.n_rounds, tables.y_train)
    stated = learner.stated(model)
    X_train, X_test = columns_of(tables.X_train, features), columns_of(tables.X_test, features)
    release_memory()  # the search's, before what takes most
    with logging:
        learner.fit(model, X_train, tables.y_train)
    outputs = np.asarray(model.predict_proba(X_test) if tables.task.labels else model.predict(X_test), np.float64)
    rows = tables.rows
    of_folds = [
        evaluation.of_fold(tables.y_train[fold.valid], valid_outputs, rows_of(rows.get("train"), fold.valid))
        for fold, valid_outputs in zip(tables.folds, scores.outputs, strict=True)
    ]
    tested = evaluation.of_test(tables.y_train, tables.y_test, outputs, rows_of(rows.get("test"), slice(None)))
    metrics = tested | evaluation.over_folds(of_folds)
    importance = family.importance(model, X_train, tables.y_train)
    return Fitted(model, features, sampled, stated, scores, of_folds, metrics, importance, outputs)


def balanced_weight(tables: Tables) -> float:
    """Return how many negative training rows there are for each positive one of two labels."""
    positive = int(tables.y_train.sum())
    return (len(tables.y_train) - positive) / positive
