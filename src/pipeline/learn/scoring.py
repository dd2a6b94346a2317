"""Score candidates by racing: drop those that the first fold shows to be worse than the best one."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from pipeline.learn.candidate import Candidate, Sampled

RACE_FOLDS = 3  # a race uses at most this many folds; the cross-validation of the winner uses all


class CandidateFitter(Protocol):
    """The fits by which a family compares candidates."""

    def fit_params(self, sampled: Sampled) -> Sampled:
        """Return the parameters a candidate is fitted with; called for the first candidate before any fit."""

    def n_rounds(self, params: Sampled) -> int:
        """Return the number of rounds a candidate is fitted for."""

    def scores(self, fits: Sequence[tuple[Sampled, int]]) -> list[float]:
        """Fit candidates on folds, given by number, and return the score of each fit on its validation rows."""


class Race:
    """A `Scoring` that drops candidates which are worse than the best one on the first fold.

    Parameters
    ----------
    fitter : CandidateFitter
    n_folds : int
        Number of folds.
    drop : bool
        Whether to drop candidates, and to use only `RACE_FOLDS` folds; otherwise all are scored on every fold.
    """

    def __init__(self, fitter: CandidateFitter, n_folds: int, drop: bool) -> None:
        self.fitter = fitter
        self.folds = range(min(n_folds, RACE_FOLDS) if drop else n_folds)
        self.drop = drop
        self.best: Candidate | None = None

    def score(self, batch: Mapping[int, Sampled]) -> list[tuple[Candidate, float]]:
        """Return the candidates of a batch, each with its score on all folds, extrapolated for dropped ones.

        Parameters
        ----------
        batch : dict of int to dict
            Sampled parameters by candidate number.
        """
        params = {number: self.fitter.fit_params(sampled) for number, sampled in batch.items()}
        if self.best is None and self.drop:  # the first candidate is the first best one
            number = next(iter(params))
            return [*self._compare_with_best({number: params.pop(number)}), *self._compare_with_best(params)]
        return self._compare_with_best(params)

    def _compare_with_best(self, batch: Mapping[int, Sampled]) -> list[tuple[Candidate, float]]:
        best, (first_fold, *other_folds) = self.best, self.folds
        first_scores = dict(
            zip(batch, self.fitter.scores([(params, first_fold) for params in batch.values()]), strict=True)
        )
        kept = [
            number for number, score in first_scores.items() if not (self.drop and best and score > best.fold_scores[0])
        ]
        other_scores = iter(self.fitter.scores([(batch[number], fold) for number in kept for fold in other_folds]))
        scored = []
        for number, params in batch.items():
            scores = [first_scores[number], *([next(other_scores) for _ in other_folds] if number in kept else [])]
            rounds = [self.fitter.n_rounds(params)] * len(scores)
            candidate = Candidate(number, params, scores, rounds, number not in kept)
            scored.append((candidate, _extrapolate_score(candidate, best or candidate)))
            if self.best is None or (not candidate.dropped and candidate.mean < self.best.mean):
                self.best = candidate
        return scored


def _extrapolate_score(candidate: Candidate, best: Candidate) -> float:
    """Return a candidate's score on all folds, assuming its ratio to the best one is the same on the missing folds."""
    best_mean = float(np.mean(best.fold_scores[: len(candidate.fold_scores)]))
    return best.mean * (candidate.mean / best_mean if best_mean else 1.0)
