"""Two ways to score a candidate of a search: a race against the best one, or every fold with early stopping."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.params import SearchParams
from pipeline.train.cross_validation import Fold, XGBoostParams, score_curve, squared_errors
from pipeline.train.search_space import shape_learning_rate

# Shapes are compared at the round from which the first candidate is within 2 % of its best score: fewer rounds flatter
# deep trees, and more cost time and tell overfitting apart, not shapes.
FLAT = 1.02
FLAT_WITHIN = 100
# Shapes are compared on so many folds at most; cross-validation of the winner takes all.
RACE_FOLDS = 3
# A candidate is dropped when its mean squared error is so many standard errors above the best one's.
WORSE = 0.5


@dataclass(frozen=True)
class Candidate:
    """Parameters that were tried, and what they scored.

    Attributes
    ----------
    number : int
        From 1, in the order they were tried.
    sampled : dict
        The parameters that the search varies.
    fold_rmse : list of float
        Of the folds it was tried on.
    fold_rounds : list of int
        Boosting rounds behind each of them.
    dropped : bool
        Whether it was given up before the last fold.
    """

    number: int
    sampled: XGBoostParams
    fold_rmse: list[float]
    fold_rounds: list[int]
    dropped: bool = False

    @property
    def rmse_mean(self) -> float:
        """Mean of the folds' RMSE."""
        return float(np.mean(self.fold_rmse))


class Race:
    """Scores candidates at a high learning rate, fold after fold, for as long as they keep up with the best one."""

    def __init__(self, params: SearchParams, fixed: XGBoostParams, folds: Sequence[Fold]) -> None:
        self.params = params
        self.fixed = fixed
        self.folds = folds[:RACE_FOLDS]
        self.learning_rate = shape_learning_rate(params)
        self.rounds = 0
        self.best: Candidate | None = None
        self.best_errors: list[NDArray[np.float64]] = []

    def score(self, number: int, sampled: XGBoostParams) -> tuple[Candidate, float]:
        """Return a candidate, and what to tell the sampler: its score on all folds, or the one it would have."""
        sampled = {**sampled, "learning_rate": self.learning_rate}
        native = {**self.fixed, **sampled}
        if self.best is None:
            self.rounds = self._rounds_to_compare_at(native)
        errors: list[NDArray[np.float64]] = []
        for fold in self.folds:
            errors.append(squared_errors(native, fold, self.rounds))
            if self.best and _worse(errors, self.best_errors):
                break
        fold_rmse = [math.sqrt(float(one.mean())) for one in errors]
        dropped = len(errors) < len(self.folds)
        candidate = Candidate(number, sampled, fold_rmse, [self.rounds] * len(errors), dropped)
        if self.best is None:
            self.best, self.best_errors = candidate, errors
            return candidate, candidate.rmse_mean
        # Folds differ in difficulty: what it would score on all is told by how it compares on those it was tried on.
        on_the_same = float(np.mean(self.best.fold_rmse[: len(errors)]))
        told = self.best.rmse_mean * (candidate.rmse_mean / on_the_same if on_the_same else 1.0)
        if not dropped and candidate.rmse_mean < self.best.rmse_mean:
            self.best, self.best_errors = candidate, errors
        return candidate, told

    def _rounds_to_compare_at(self, native: XGBoostParams) -> int:
        rounds = min(self.params.max_rounds, FLAT_WITHIN)
        mean = np.mean([score_curve(native, fold, rounds) for fold in self.folds], axis=0)
        return int(np.argmax(mean <= FLAT * mean.min())) + 1


class EarlyStopping:
    """Scores candidates on all folds, each at its best round."""

    def __init__(self, params: SearchParams, fixed: XGBoostParams, folds: Sequence[Fold]) -> None:
        self.params = params
        self.fixed = fixed
        self.folds = folds

    def score(self, number: int, sampled: XGBoostParams) -> tuple[Candidate, float]:
        """Return a candidate, and what to tell the sampler: its score."""
        native, params = {**self.fixed, **sampled}, self.params
        curves = [score_curve(native, fold, params.max_rounds, params.early_stopping_rounds) for fold in self.folds]
        best_rounds = [int(np.argmin(curve)) + 1 for curve in curves]
        candidate = Candidate(number, sampled, [min(curve) for curve in curves], best_rounds)
        return candidate, candidate.rmse_mean


def _worse(errors: Sequence[NDArray[np.float64]], best: Sequence[NDArray[np.float64]]) -> bool:
    """Tell whether squared errors are above those of the best candidate on the same rows, by a paired test."""
    difference = np.concatenate(errors) - np.concatenate(best[: len(errors)])
    return bool(difference.mean() > WORSE * difference.std() / math.sqrt(len(difference)))
