"""A race: candidates are compared on a few folds, and those that fall behind the best one on the first are dropped."""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.learn.candidate import Candidate, Sampled
from pipeline.learn.task import Task

# Candidates are compared on so many folds at most; cross-validation of the winner takes all.
RACE_FOLDS = 3
# A candidate is dropped when its mean loss is so many standard errors above the best one's.
WORSE = 0.5


class Contest(Protocol):
    """How a family fits candidates to compare them."""

    def enter(self, sampled: Sampled) -> Sampled:
        """Return what is fitted for a candidate; called with the very first one before anything is fitted."""

    def rounds_of(self, entered: Sampled) -> int:
        """Return how many rounds a candidate is fitted for."""

    def losses(self, fits: Sequence[tuple[Sampled, int]]) -> list[NDArray[np.float64]]:
        """Fit candidates on folds, given by number, and return each validation row's loss."""


class Race:
    """Scores candidates on the first folds of a contest, or on all of them without dropping any.

    Parameters
    ----------
    task : Task
    contest : Contest
    n_folds : int
        How many folds there are.
    drop : bool
        Whether those that fall behind on the first fold are given up, and only `RACE_FOLDS` folds used.
    """

    def __init__(self, task: Task, contest: Contest, n_folds: int, drop: bool) -> None:
        self.task = task
        self.contest = contest
        self.folds = range(min(n_folds, RACE_FOLDS) if drop else n_folds)
        self.drop = drop
        self.best: Candidate | None = None
        self.first_losses = np.empty(0)  # of the best candidate, on the first fold

    def score(self, batch: Mapping[int, Sampled]) -> list[tuple[Candidate, float]]:
        """Return candidates, and what to tell the sampler: the score on all folds, or the one it would have.

        Parameters
        ----------
        batch : dict of int to dict
            The sampled parameters, by the candidates' numbers.
        """
        entered = {number: self.contest.enter(sampled) for number, sampled in batch.items()}
        if self.best is None and self.drop:
            number = next(iter(entered))
            return [*self._against_best({number: entered.pop(number)}), *self._against_best(entered)]
        return self._against_best(entered)

    def _against_best(self, batch: Mapping[int, Sampled]) -> list[tuple[Candidate, float]]:
        best, (first, *others) = self.best, self.folds
        first_losses = dict(zip(batch, self.contest.losses([(one, first) for one in batch.values()]), strict=True))
        kept = [number for number in batch if not (self.drop and best and self._behind(first_losses[number]))]
        more = iter(self.contest.losses([(batch[number], fold) for number in kept for fold in others]))
        scored = []
        for number, sampled in batch.items():
            losses = [first_losses[number], *([next(more) for _ in others] if number in kept else [])]
            rounds = [self.contest.rounds_of(sampled)] * len(losses)
            candidate = Candidate(number, sampled, [self.task.score(one) for one in losses], rounds, number not in kept)
            scored.append((candidate, _expected(candidate, best or candidate)))
            if self.best is None or (not candidate.dropped and candidate.mean < self.best.mean):
                self.best, self.first_losses = candidate, losses[0]
        return scored

    def _behind(self, losses: NDArray[np.float64]) -> bool:
        """Tell whether losses are above those of the best candidate on the same rows, by a paired test."""
        difference = losses - self.first_losses
        return bool(difference.mean() > WORSE * difference.std() / math.sqrt(len(difference)))


def _expected(candidate: Candidate, best: Candidate) -> float:
    """Return what a candidate would score on all folds, told by how it compares on those it was tried on."""
    on_the_same = float(np.mean(best.fold_scores[: len(candidate.fold_scores)]))
    return best.mean * (candidate.mean / on_the_same if on_the_same else 1.0)
