"""Parameters that a search tried, and what they scored."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Sampled = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """Parameters that were tried, and what they scored.

    Attributes
    ----------
    number : int
        From 1, in the order they were tried.
    sampled : dict
        The parameters that the search varies.
    fold_scores : list of float
        RMSE or log loss, of the folds it was tried on.
    fold_rounds : list of int
        Rounds behind each of them.
    dropped : bool
        Whether it was given up after the first fold.
    """

    number: int
    sampled: Sampled
    fold_scores: list[float]
    fold_rounds: list[int]
    dropped: bool = False

    @property
    def mean(self) -> float:
        """Mean of the folds' scores."""
        return float(np.mean(self.fold_scores))
