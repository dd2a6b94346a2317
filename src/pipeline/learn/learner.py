"""What a model family must do to be searched, cross-validated and fitted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd
from numpy.typing import NDArray

from pipeline.learn.candidate import Candidate, Sampled
from pipeline.learn.search_params import SearchParams
from pipeline.learn.space import Space
from pipeline.learn.task import Task

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

    from pipeline.learn.cross_validation import CrossValidation

FoldTables = tuple[pd.DataFrame, NDArray[Any], pd.DataFrame, NDArray[Any]]


@dataclass(frozen=True)
class Problem:
    """What is to be learnt, from what, and within which bounds.

    Attributes
    ----------
    task : Task
    fixed : dict
        Parameters that all candidates share, by the estimator's names.
    space : Space
        Of the parameters that are searched; empty for no search.
    search : SearchParams
    seed, n_jobs : int
    scaler : StandardScaler
        With mean and deviation of every feature, in order.
    folds : iterable of FoldTables
        Read once. Features, shape (n_rows, n_features), and targets, shape (n_rows,), to fit on, and the same to
        validate on.
    """

    task: Task
    fixed: Sampled
    space: Space
    search: SearchParams
    seed: int
    n_jobs: int
    scaler: "StandardScaler"
    folds: Iterable[FoldTables]


class Scoring(Protocol):
    """A way to score the candidates of a search."""

    def score(self, batch: Mapping[int, Sampled]) -> list[tuple[Candidate, float]]:
        """Return candidates, by their numbers in `batch`, and what to tell the sampler."""


class Learner(Protocol):
    """A model family at work on one problem."""

    @property
    def sampled_space(self) -> Space:
        """What a sampler draws from: the problem's space without what is chosen otherwise."""

    def scoring(self) -> Scoring:
        """Return the way in which candidates are compared."""

    def final(self, best: Candidate | None) -> tuple[Sampled, int]:
        """Return the parameters the best candidate stands for (None: no search), and their most rounds."""

    def cross_validate(self, sampled: Sampled, rounds: int, choose_round: bool) -> "CrossValidation":
        """Fit on each fold for `rounds`, or for the best of them when `choose_round` and the family has a best one."""

    def estimator(self, sampled: Sampled, rounds: int, y: NDArray[Any]) -> Any:
        """Return an unfitted estimator with every parameter stated."""

    def stated(self, estimator: Any) -> Sampled:
        """Return the effective parameters of an estimator by its own names."""

    def fit(self, estimator: Any, X: pd.DataFrame, y: NDArray[Any]) -> None:
        """Fit an estimator with the problem's threads."""
