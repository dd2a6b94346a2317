"""scikit-learn estimators at work: fits side by side, scored after some of their rounds, be they trees or epochs."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.learn.candidate import Candidate, Sampled
from pipeline.learn.cross_validation import CrossValidation, best_place, scored_rounds
from pipeline.learn.learner import FoldTables, Problem, Scoring
from pipeline.learn.parallel import side_by_side
from pipeline.learn.scoring import Race
from pipeline.learn.space import Space

Outputs = NDArray[Any]


@dataclass(frozen=True)
class Recipe:
    """How a family's estimators are made and followed.

    Attributes
    ----------
    make : callable
        Called with problem, parameters and rounds; returns an unfitted estimator.
    follow : callable
        Called with an unfitted estimator, the four tables of a fold, the rounds to look at, whether training rows
        matter, and the number of classes; fits it and yields the outputs (predictions or probabilities) of training
        and validation rows after each of these rounds.
    rounds_name : str
        The estimator's parameter that counts rounds.
    compare_rounds : int
        So many at most are enough to tell candidates apart.
    has_best_round : bool
        Whether more rounds may be worse, so that the best one is looked for.
    stated : callable
        Called with an estimator; returns its effective parameters by its own names.
    table : callable
        Called with the features to fit on; returns them as the estimator takes them.
    """

    make: Callable[[Problem, Sampled, int], Any]
    follow: Callable[[Any, FoldTables, Sequence[int], bool, int], Iterator[tuple[Outputs, Outputs]]]
    rounds_name: str
    compare_rounds: int
    has_best_round: bool
    stated: Callable[[Any], Sampled]
    table: Callable[[pd.DataFrame], pd.DataFrame] = lambda X: X


class Estimators:
    """A scikit-learn family as a `Learner`."""

    def __init__(self, recipe: Recipe, problem: Problem) -> None:
        self.recipe = recipe
        self.problem = problem
        self.folds = list(problem.folds)

    @property
    def sampled_space(self) -> Space:
        """The whole space."""
        return self.problem.space

    def scoring(self) -> Scoring:
        """Return a race, or, for the sampler `random`, one in which no candidate is dropped."""
        drop = self.problem.search.sampler == "tpe"
        return Race(self.problem.task, EstimatorContest(self), len(self.folds), drop)

    def final(self, best: Candidate | None) -> tuple[Sampled, int]:
        """Return the best candidate's parameters, and all rounds."""
        sampled = dict(best.sampled) if best else {}
        return sampled, int(sampled.pop(self.recipe.rounds_name, self.problem.fixed.get(self.recipe.rounds_name)))

    def cross_validate(self, sampled: Sampled, rounds: int, choose_round: bool) -> CrossValidation:
        """Fit on each fold and score on the way; end the curves at the best round if asked and there is one."""
        task, scored = self.problem.task, scored_rounds(rounds)
        fits = [({"nthread": self.problem.n_jobs, **sampled}, fold) for fold in self.folds]

        def curves(params: Sampled, fold: FoldTables) -> list[tuple[float, float, Outputs]]:
            estimator = self.recipe.make(self.problem, _without_threads(params), rounds)
            return [
                (task.score(task.losses(fold[1], train)), task.score(task.losses(fold[3], valid)), valid)
                for train, valid in self.recipe.follow(estimator, fold, scored, True, task.n_classes)
            ]

        with _one_thread_each():
            fitted = side_by_side(curves, fits)
        valid_curves = [[valid for _, valid, _ in one] for one in fitted]
        end = best_place(valid_curves) + 1 if choose_round and self.recipe.has_best_round else len(scored)
        return CrossValidation(
            rounds=scored[:end],
            train_curves=[[train for train, _, _ in one[:end]] for one in fitted],
            valid_curves=[curve[:end] for curve in valid_curves],
            outputs=[one[end - 1][2] for one in fitted],
        )

    def estimator(self, sampled: Sampled, rounds: int, y: NDArray[Any]) -> Any:
        """Return an unfitted estimator with every parameter stated."""
        return self.recipe.make(self.problem, sampled, rounds)

    def stated(self, estimator: Any) -> Sampled:
        """Return the effective parameters of an estimator by its own names."""
        return self.recipe.stated(estimator)

    def fit(self, estimator: Any, X: pd.DataFrame, y: NDArray[Any]) -> None:
        """Fit an estimator; its own setting stays one thread, with which predictions do not hang on timing."""
        from joblib import parallel_config

        with parallel_config("threading", n_jobs=self.problem.n_jobs), _one_thread_each():
            estimator.fit(self.recipe.table(X), y)


class EstimatorContest:
    """Compares candidates after fewer rounds than the final fit takes, unless the rounds are what is searched."""

    def __init__(self, learner: Estimators) -> None:
        self.learner = learner

    def enter(self, sampled: Sampled) -> Sampled:
        """Return what is fitted for a candidate: itself."""
        return sampled

    def rounds_of(self, entered: Sampled) -> int:
        """Return how many rounds a candidate is fitted for."""
        recipe = self.learner.recipe
        fewer = min(recipe.compare_rounds, self.learner.final(None)[1])
        return int(entered.get(recipe.rounds_name, fewer))

    def losses(self, fits: Sequence[tuple[Sampled, int]]) -> list[NDArray[np.float64]]:
        """Fit candidates on folds, given by number, and return each validation row's loss."""
        learner = self.learner
        task, recipe = learner.problem.task, learner.recipe

        def last(params: Sampled, fold: FoldTables) -> NDArray[np.float64]:
            rounds = self.rounds_of(params)
            estimator = recipe.make(learner.problem, _without_threads(params), rounds)
            *_, (_, valid) = recipe.follow(estimator, fold, [rounds], False, task.n_classes)
            return task.losses(fold[3], valid)

        threads = {"nthread": learner.problem.n_jobs}
        with _one_thread_each():
            return side_by_side(last, [({**threads, **sampled}, learner.folds[fold]) for sampled, fold in fits])


def _without_threads(params: Sampled) -> Sampled:
    """Return the parameters without the threads of `side_by_side`: these fits take one each."""
    return {name: value for name, value in params.items() if name != "nthread"}


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Keep linear algebra to one thread, whose sums are the same everywhere, and nets quiet that stop when told to."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="Got `batch_size`")  # larger than the rows: all rows are one batch
        yield


def all_classes(outputs: Outputs, classes: NDArray[np.intp], n_classes: int) -> Outputs:
    """Return probabilities with a column for every class, also those that a fold's training rows lack."""
    complete = np.zeros((len(outputs), n_classes))
    complete[:, classes] = outputs
    return complete
