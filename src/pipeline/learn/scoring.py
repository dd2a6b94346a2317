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

    def scores(self, fits: Sequence[tuple[Sampled, int]]) -> list[tuple[float, int]]:
        """Fit candidates on folds, given by number; return the score on its validation rows and the rounds of each."""


class Race:
    """A `Scoring` that drops candidates which are worse than the best one on the first fold.

    Parameters
    ----------
    fitter : CandidateFitter
    n_folds : int
        Number of folds.
    max_folds : int
        Maximum number of folds to use.
    drop : bool
        Whether to drop candidates; otherwise all are scored on every fold.
    """

    def __init__(self, fitter: CandidateFitter, n_folds: int, max_folds: int, drop: bool) -> None:
        self.fitter = fitter
        self.folds = range(min(n_folds, max_folds))
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
        first_fits = dict(
            zip(batch, self.fitter.scores([(params, first_fold) for params in batch.values()]), strict=True)
        )
        limit = best.fold_scores[0] if self.drop and best else np.inf
        kept = [number for number, (score, _) in first_fits.items() if score <= limit]
        other_fits = iter(self.fitter.scores([(batch[number], fold) for number in kept for fold in other_folds]))
        scored = []
        for number, params in batch.items():
            fits = [first_fits[number], *([next(other_fits) for _ in other_folds] if number in kept else [])]
            scores, rounds = (list(values) for values in zip(*fits, strict=True))
            candidate = Candidate(number, params, scores, rounds, number not in kept)
            scored.append((candidate, _extrapolate_score(candidate, best or candidate)))
            if self.best is None or (not candidate.dropped and candidate.mean < self.best.mean):
                self.best = candidate
        return scored


def _extrapolate_score(candidate: Candidate, best: Candidate) -> float:
    """Return a candidate's score on all folds, assuming its ratio to the best one is the same on the missing folds."""
    best_mean = float(np.mean(best.fold_scores[: len(candidate.fold_scores)]))
    return best.mean * (candidate.mean / best_mean if best_mean else 1.0)
