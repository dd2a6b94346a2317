"""What cross-validation of one set of parameters finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCORED_ROUNDS = 100  # of a cross-validation: scoring takes as long as a third of a boosting round


@dataclass(frozen=True)
class CrossValidation:
    """What one set of parameters scored along its rounds, be they trees or epochs.

    Attributes
    ----------
    rounds : list of int
        The rounds, from 1, after which the folds were scored.
    train_curves, valid_curves : list of list of float
        RMSE in the target's unit, or log loss, after these rounds, one list per fold.
    outputs : list of array
        For each fold the predictions, or probabilities of the classes, of its validation rows after the last round.
    """

    rounds: list[int]
    train_curves: list[list[float]]
    valid_curves: list[list[float]]
    outputs: list[NDArray[Any]]

    @property
    def n_rounds(self) -> int:
        """Rounds behind `fold_scores`: the last."""
        return self.rounds[-1]

    @property
    def fold_scores(self) -> list[float]:
        """RMSE or log loss on each fold's validation rows."""
        return [curve[-1] for curve in self.valid_curves]

    @property
    def mean(self) -> float:
        """Mean of the folds' scores."""
        return float(np.mean(self.fold_scores))

    @property
    def std(self) -> float:
        """Standard deviation of the folds' scores."""
        return float(np.std(self.fold_scores))


def scored_rounds(rounds: int) -> list[int]:
    """Return about `SCORED_ROUNDS` rounds, the first and the last among them."""
    step = max(1, rounds // SCORED_ROUNDS)
    return sorted({1, *range(step, rounds, step), rounds})


def best_place(valid_curves: Sequence[Sequence[float]]) -> int:
    """Return the place on the curves with the lowest mean over the folds."""
    return int(np.argmin(np.mean(valid_curves, axis=0)))


def by_fold(scores: Sequence[float], name: str) -> dict[str, float]:
    """Return each fold's score by the name it is logged under."""
    return {f"fold_{number}_{name}": value for number, value in enumerate(scores, start=1)}
