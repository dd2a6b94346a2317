"""A candidate of a hyperparameter search, with its cross-validation scores."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Sampled = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A set of hyperparameters that a search evaluated.

    Attributes
    ----------
    number : int
        Number of the candidate in the search, from 1.
    sampled : dict
        The hyperparameters that the search varies.
    fold_scores : list of float
        RMSE or log loss on each fold that it was evaluated on.
    fold_rounds : list of int
        Number of rounds of the fit on each of these folds.
    dropped : bool
        Whether the race dropped it after the first fold.
    """

    number: int
    sampled: Sampled
    fold_scores: list[float]
    fold_rounds: list[int]
    dropped: bool = False

    @property
    def mean(self) -> float:
        """Mean of the fold scores."""
        return float(np.mean(self.fold_scores))
