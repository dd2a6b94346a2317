"""The interface through which model families are searched, cross-validated and fitted."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd
from numpy.typing import NDArray

from pipeline.learn.candidate import Candidate, Sampled
from pipeline.learn.parallel import FitRunner, run_parallel
from pipeline.learn.search_params import SearchParams
from pipeline.learn.space import Space
from pipeline.learn.task import Task

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

    from pipeline.learn.cross_validation import CrossValidation

FoldTables = tuple[pd.DataFrame, NDArray[Any], pd.DataFrame, NDArray[Any]]


@dataclass(frozen=True)
class Problem:
    """A learning problem: task, data and search settings.

    Attributes
    ----------
    task : Task
    fixed : dict
        Parameters that all candidates share, by the estimator's names.
    space : Space
        Search space of the hyperparameters; empty for no search.
    search : SearchParams
    seed, n_jobs : int
        Random seed, and total number of threads.
    scaler : StandardScaler
        Fitted scaler with the mean and standard deviation of every feature, in column order.
    folds : iterable of FoldTables
        Each is (X_train, y_train, X_valid, y_valid) with X of shape (n_rows, n_features) and y of shape (n_rows,).
        Iterated once.
    device : {"cpu", "cuda"}
        Where a family with `uses_gpu` fits.
    run_fits : FitRunner
        How XGBoost runs the fits of the search and cross-validation.
    """

    task: Task
    fixed: Sampled
    space: Space
    search: SearchParams
    seed: int
    n_jobs: int
    scaler: "StandardScaler"
    folds: Iterable[FoldTables]
    device: str = "cpu"
    run_fits: FitRunner = run_parallel


class Scoring(Protocol):
    """A method of scoring the candidates of a search."""

    def score(self, batch: Mapping[int, Sampled]) -> list[tuple[Candidate, float]]:
        """Return the candidates of a batch, given by number, each with the score to report to the sampler."""


class Learner(Protocol):
    """A model family applied to one problem."""

    @property
    def sampled_space(self) -> Space:
        """The space that the sampler draws from: the problem's space without parameters chosen in other ways."""

    @property
    def n_rows(self) -> int:
        """The number of rows of the search."""

    @property
    def starts(self) -> list[Sampled]:
        """Candidates that a search starts with."""

    def scoring(self) -> Scoring:
        """Return a new scoring of candidates."""

    def final_params(self, best: Candidate | None) -> tuple[Sampled, int]:
        """Return the parameters for the final fit, given the best candidate (None: no search), and the most rounds."""

    def cross_validate(self, sampled: Sampled, rounds: int, choose_round: bool) -> "CrossValidation":
        """Fit and score on each fold along `rounds`.

        With `choose_round`, cut the curves at the best round, if the family has one (`Recipe.has_best_round`).
        """

    def estimator(self, sampled: Sampled, rounds: int, y: NDArray[Any]) -> Any:
        """Return an unfitted estimator with every parameter set explicitly; `y` is the training target."""

    def effective_params(self, estimator: Any) -> Sampled:
        """Return the effective parameters of an estimator that are logged in addition to autologging."""

    def fit(self, estimator: Any, X: pd.DataFrame, y: NDArray[Any]) -> None:
        """Fit an estimator with the problem's number of threads, on its device."""

    def on_device(self, estimator: Any) -> AbstractContextManager[None]:
        """Return the context in which a fitted estimator predicts and explains on the problem's device."""
