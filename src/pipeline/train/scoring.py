"""Two ways to score a candidate of a search: a race against the best one, or every fold with early stopping."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipeline.params import SearchParams
from pipeline.train.cross_validation import Fold, XGBoostParams, score_curve, squared_errors
from pipeline.train.search_space import shape_learning_rate
from pipeline.train.side_by_side import side_by_side

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
        Whether it was given up after the first fold.
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
    """Scores candidates at a high learning rate; those that fall behind the best one on the first fold are dropped."""

    def __init__(self, params: SearchParams, fixed: XGBoostParams, folds: Sequence[Fold]) -> None:
        self.params = params
        self.fixed = fixed
        self.folds = folds[:RACE_FOLDS]
        self.learning_rate = shape_learning_rate(params)
        self.rounds = 0
        self.best: Candidate | None = None
        self.first_errors = np.empty(0)  # of the best candidate, on the first fold

    def score(self, batch: Mapping[int, XGBoostParams]) -> list[tuple[Candidate, float]]:
        """Return candidates, and what to tell the sampler: the score on all folds, or the one it would have.

        Parameters
        ----------
        batch : dict of int to dict
            The sampled parameters, by the candidates' numbers.
        """
        at_high_rate = {number: {**one, "learning_rate": self.learning_rate} for number, one in batch.items()}
        if self.best is None:
            number = next(iter(at_high_rate))
            self.rounds = self._rounds_to_compare_at(at_high_rate[number])
            return [*self._against_best({number: at_high_rate.pop(number)}), *self._against_best(at_high_rate)]
        return self._against_best(at_high_rate)

    def _against_best(self, batch: Mapping[int, XGBoostParams]) -> list[tuple[Candidate, float]]:
        best, (first, *others) = self.best, self.folds
        first_errors = dict(zip(batch, self._errors([(one, first) for one in batch.values()]), strict=True))
        kept = [number for number in batch if not (best and _worse(first_errors[number], self.first_errors))]
        more = iter(self._errors([(batch[number], fold) for number in kept for fold in others]))
        scored = []
        for number, sampled in batch.items():
            errors = [first_errors[number], *([next(more) for _ in others] if number in kept else [])]
            fold_rmse = [math.sqrt(float(one.mean())) for one in errors]
            candidate = Candidate(number, sampled, fold_rmse, [self.rounds] * len(errors), number not in kept)
            scored.append((candidate, _expected(candidate, best or candidate)))
            if self.best is None or (not candidate.dropped and candidate.rmse_mean < self.best.rmse_mean):
                self.best, self.first_errors = candidate, errors[0]
        return scored

    def _errors(self, fits: Sequence[tuple[XGBoostParams, Fold]]) -> list[NDArray[np.float64]]:
        native = [({**self.fixed, **sampled}, fold) for sampled, fold in fits]
        return side_by_side(partial(squared_errors, rounds=self.rounds), native)

    def _rounds_to_compare_at(self, sampled: XGBoostParams) -> int:
        rounds = min(self.params.max_rounds, FLAT_WITHIN)
        fits = [({**self.fixed, **sampled}, fold) for fold in self.folds]
        mean = np.mean(side_by_side(partial(score_curve, max_rounds=rounds), fits), axis=0)
        return int(np.argmax(mean <= FLAT * mean.min())) + 1


class EarlyStopping:
    """Scores candidates on all folds, each at its best round."""

    def __init__(self, params: SearchParams, fixed: XGBoostParams, folds: Sequence[Fold]) -> None:
        self.params = params
        self.fixed = fixed
        self.folds = folds

    def score(self, batch: Mapping[int, XGBoostParams]) -> list[tuple[Candidate, float]]:
        """Return candidates, and what to tell the sampler: the score.

        Parameters
        ----------
        batch : dict of int to dict
            The sampled parameters, by the candidates' numbers.
        """
        params = self.params
        curve = partial(score_curve, max_rounds=params.max_rounds, patience=params.early_stopping_rounds)
        fits = [({**self.fixed, **sampled}, fold) for sampled in batch.values() for fold in self.folds]
        curves = iter(side_by_side(curve, fits))
        scored = []
        for number, sampled in batch.items():
            of_folds = [next(curves) for _ in self.folds]
            best_rounds = [int(np.argmin(curve)) + 1 for curve in of_folds]
            candidate = Candidate(number, sampled, [min(curve) for curve in of_folds], best_rounds)
            scored.append((candidate, candidate.rmse_mean))
        return scored


def _worse(errors: NDArray[np.float64], best: NDArray[np.float64]) -> bool:
    """Tell whether squared errors are above those of the best candidate on the same rows, by a paired test."""
    difference = errors - best
    return bool(difference.mean() > WORSE * difference.std() / math.sqrt(len(difference)))


def _expected(candidate: Candidate, best: Candidate) -> float:
    """Return what a candidate would score on all folds, told by how it compares on those it was tried on."""
    on_the_same = float(np.mean(best.fold_rmse[: len(candidate.fold_rmse)]))
    return best.rmse_mean * (candidate.rmse_mean / on_the_same if on_the_same else 1.0)
