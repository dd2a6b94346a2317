"""Search and fit scikit-learn estimators: parallel fits, scored along their rounds (trees or epochs)."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.learn.candidate import Candidate, Sampled
from pipeline.learn.cross_validation import CrossValidation, best_index, is_past_best, scored_rounds
from pipeline.learn.learner import FoldTables, Problem, Scoring
from pipeline.learn.parallel import run_parallel
from pipeline.learn.scoring import RACE_FOLDS, Race
from pipeline.learn.space import Space

Outputs = NDArray[Any]
SMALL_TABLE = 250  # training rows; with fewer, two threads take as long as one and more of the processor


@dataclass(frozen=True)
class Recipe:
    """How to build and fit the estimators of a family.

    Attributes
    ----------
    make : callable
        ``make(problem, params, rounds)`` returns an unfitted estimator.
    fit_staged : callable
        ``fit_staged(estimator, fold, scored, with_train, n_classes)`` fits an unfitted estimator on a fold and yields
        its outputs (predictions or probabilities) for training and validation rows after each of the `scored` rounds.
        Outputs for training rows may be left out unless `with_train`.
    rounds_name : str
        The estimator's parameter for the number of rounds.
    compare_rounds : int
        Maximum number of rounds for comparing candidates.
    has_best_round : bool
        Whether too many rounds overfit, so that the best number is chosen by cross-validation.
    stops_early : bool
        Whether fits end once more rounds bring no improvement, and candidates are compared at their best rounds.
    effective_params : callable
        ``effective_params(estimator)`` returns its effective parameters by the estimator's names.
    table : callable
        ``table(X)`` converts the features to the form that the estimator's `fit` needs.
    """

    make: Callable[[Problem, Sampled, int], Any]
    fit_staged: Callable[[Any, FoldTables, Sequence[int], bool, int], Iterator[tuple[Outputs, Outputs]]]
    rounds_name: str
    compare_rounds: int
    has_best_round: bool
    effective_params: Callable[[Any], Sampled]
    stops_early: bool = False
    table: Callable[[pd.DataFrame], pd.DataFrame] = lambda X: X


class Estimators:
    """A scikit-learn family as a `Learner`."""

    def __init__(self, recipe: Recipe, problem: Problem) -> None:
        self.recipe = recipe
        self.problem = problem
        self.folds = list(problem.folds)
        self.n_jobs = self.threads(max((len(y_train) for _, y_train, *_ in self.folds), default=0))  # of a fold

    @property
    def sampled_space(self) -> Space:
        """The search space of the problem."""
        return self.problem.space

    @property
    def n_rows(self) -> int:
        """The number of rows of the search."""
        return sum(len(y) for y in self.folds[0][1::2])

    @property
    def starts(self) -> list[Sampled]:
        """No candidates."""
        return []

    def threads(self, n_rows: int) -> int:
        """Return the number of threads: one for a small table, on which threads mostly wait for each other."""
        return 1 if n_rows < SMALL_TABLE else self.problem.n_jobs

    def scoring(self) -> Scoring:
        """Return a race; with the sampler `random` it drops no candidates."""
        drop = self.problem.search.sampler == "tpe"
        return Race(EstimatorFitter(self), len(self.folds), RACE_FOLDS if drop else len(self.folds), drop)

    def final_params(self, best: Candidate | None) -> tuple[Sampled, int]:
        """Return the parameters of the best candidate for the final fit, and its number of rounds."""
        sampled, name = dict(best.sampled) if best else {}, self.recipe.rounds_name
        return sampled, int(sampled.pop(name, self.problem.fixed.get(name, self.problem.search.max_rounds)))

    def cross_validate(self, sampled: Sampled, rounds: int, choose_round: bool) -> CrossValidation:
        """Fit and score on each fold along `rounds`; with `choose_round`, cut the curves at the best round, if any."""
        task, scored = self.problem.task, scored_rounds(rounds)
        fits = [({"nthread": self.n_jobs, **sampled}, fold) for fold in self.folds]
        stop_early = choose_round and self.recipe.stops_early

        def fit_curves(params: Sampled, fold: FoldTables) -> list[tuple[float, float, Outputs]]:
            estimator = self.recipe.make(self.problem, _without_nthread(params), rounds)
            curve = []
            for train, valid in self.recipe.fit_staged(estimator, fold, scored, True, task.n_classes):
                curve.append((task.score(task.losses(fold[1], train)), task.score(task.losses(fold[3], valid)), valid))
                if stop_early and is_past_best(scored, [score for _, score, _ in curve]):
                    break
            return curve

        with _single_threaded():
            curves = run_parallel(fit_curves, fits)
        n_scored = min(map(len, curves))
        valid_curves = [[valid for _, valid, _ in curve[:n_scored]] for curve in curves]
        end = best_index(valid_curves) + 1 if choose_round and self.recipe.has_best_round else n_scored
        return CrossValidation(
            rounds=scored[:end],
            train_curves=[[train for train, _, _ in curve[:end]] for curve in curves],
            valid_curves=[curve[:end] for curve in valid_curves],
            outputs=[curve[end - 1][2] for curve in curves],
        )

    def estimator(self, sampled: Sampled, rounds: int, y: NDArray[Any]) -> Any:
        """Return an unfitted estimator with these hyperparameters."""
        return self.recipe.make(self.problem, sampled, rounds)

    def effective_params(self, estimator: Any) -> Sampled:
        """Return the effective parameters of an estimator by its own names."""
        return self.recipe.effective_params(estimator)

    def fit(self, estimator: Any, X: pd.DataFrame, y: NDArray[Any]) -> None:
        """Fit an estimator with all threads.

        The estimator's own `n_jobs` stays 1, so that its predictions do not depend on the timing of threads.
        """
        from joblib import parallel_config

        n_threads = self.threads(len(y))
        with parallel_config("threading", n_jobs=n_threads), _single_threaded(openmp=n_threads):
            estimator.fit(self.recipe.table(X), y)

    def on_device(self, estimator: Any) -> AbstractContextManager[None]:
        """Return a context without effect: scikit-learn estimators use the CPU."""
        return nullcontext()


class EstimatorFitter:
    """A `CandidateFitter` that uses fewer rounds than the final fit, unless the search varies the rounds."""

    def __init__(self, learner: Estimators) -> None:
        self.learner = learner

    def fit_params(self, sampled: Sampled) -> Sampled:
        """Return the candidate's hyperparameters unchanged."""
        return sampled

    def n_rounds(self, params: Sampled) -> int:
        """Return the number of rounds a candidate is fitted for."""
        recipe = self.learner.recipe
        default = min(recipe.compare_rounds, self.learner.final_params(None)[1])
        return int(params.get(recipe.rounds_name, default))

    def scores(self, fits: Sequence[tuple[Sampled, int]]) -> list[tuple[float, int]]:
        """Fit candidates on folds, given by number; return the score and the rounds of each fit."""
        learner = self.learner
        task, recipe = learner.problem.task, learner.recipe

        def fit_score(params: Sampled, fold: FoldTables) -> tuple[float, int]:
            rounds = self.n_rounds(params)
            estimator = recipe.make(learner.problem, _without_nthread(params), rounds)
            scored, curve = scored_rounds(rounds) if recipe.stops_early else [rounds], list[float]()
            for _, valid in recipe.fit_staged(estimator, fold, scored, False, task.n_classes):
                curve.append(task.score(task.losses(fold[3], valid)))
                if is_past_best(scored, curve):
                    break
            return min(curve), scored[int(np.argmin(curve))]

        threads = {"nthread": learner.n_jobs}
        with _single_threaded():
            return run_parallel(fit_score, [({**threads, **params}, learner.folds[fold]) for params, fold in fits])


def _without_nthread(params: Sampled) -> Sampled:
    """Return the parameters without ``nthread`` of `run_parallel`: each of these fits uses one thread."""
    return {name: value for name, value in params.items() if name != "nthread"}


@contextmanager
def _single_threaded(openmp: int = 1) -> Iterator[None]:
    """Limit linear algebra to one thread, for reproducible sums, and silence warnings that do not apply here.

    Other parallel loops get the number of threads `openmp`.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    with warnings.catch_warnings(), threadpool_limits({"blas": 1, "openmp": openmp}):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is fixed
        warnings.filterwarnings("ignore", message="Got `batch_size`")  # a batch larger than the table means full batch
        yield


def all_classes(outputs: Outputs, classes: NDArray[np.intp], n_classes: int) -> Outputs:
    """Return probabilities with a column for every class, including classes without training rows in the fold."""
    complete = np.zeros((len(outputs), n_classes))
    complete[:, classes] = outputs
    return complete
