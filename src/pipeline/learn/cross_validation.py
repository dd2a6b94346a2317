"""Cross-validation results of one set of hyperparameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCORED_ROUNDS = 60  # rounds that are scored; scoring one takes a third of the time of a boosting round


@dataclass(frozen=True)
class CrossValidation:
    """The learning curves of one set of hyperparameters over rounds (trees or epochs).

    Attributes
    ----------
    rounds : list of int
        Rounds, from 1, after which the folds were scored.
    train_curves, valid_curves : list of list of float
        RMSE in the target's unit, or log loss, after these rounds; one list per fold.
    outputs : list of array
        For each fold, the predictions or class probabilities of its validation rows after the last round.
    """

    rounds: list[int]
    train_curves: list[list[float]]
    valid_curves: list[list[float]]
    outputs: list[NDArray[Any]]

    @property
    def n_rounds(self) -> int:
        """The last scored round, at which `fold_scores` are measured."""
        return self.rounds[-1]

    @property
    def fold_scores(self) -> list[float]:
        """RMSE or log loss on the validation rows of each fold."""
        return [curve[-1] for curve in self.valid_curves]

    @property
    def mean(self) -> float:
        """Mean of the fold scores."""
        return float(np.mean(self.fold_scores))

    @property
    def std(self) -> float:
        """Standard deviation of the fold scores."""
        return float(np.std(self.fold_scores))


def scored_rounds(rounds: int) -> list[int]:
    """Return at most `SCORED_ROUNDS` rounds in a geometric series, including the first and the last."""
    return sorted({round(number) for number in np.geomspace(1, rounds, SCORED_ROUNDS)})


def best_index(valid_curves: Sequence[Sequence[float]]) -> int:
    """Return the index into the curves with the lowest mean over the folds."""
    return int(np.argmin(np.mean(valid_curves, axis=0)))


def is_past_best(rounds: Sequence[int], valid_curve: Sequence[float]) -> bool:
    """Return whether half as many rounds as the best one took, and 50 more, bring no improvement.

    Parameters
    ----------
    rounds : sequence of int
        All rounds that are scored.
    valid_curve : sequence of float
        The scores after the first of them.
    """
    return rounds[len(valid_curve) - 1] > 1.5 * rounds[int(np.argmin(valid_curve))] + 50


def per_fold_metrics(scores: Sequence[float], name: str) -> dict[str, float]:
    """Return the score of each fold by the metric name it is logged under, such as ``fold_1_rmse``."""
    return {f"fold_{number}_{name}": value for number, value in enumerate(scores, start=1)}
