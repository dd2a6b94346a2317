"""Choose the decision threshold of a binary classification from probabilities of rows that were not trained on."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Score = Callable[[Counts, Counts, int], NDArray[np.float64]]


def best_threshold(y_true: NDArray[np.integer[Any]], positive_proba: NDArray[np.floating[Any]], score: Score) -> float:
    """Return the threshold with the greatest score.

    Parameters
    ----------
    y_true : array of int, shape (n_rows,)
        1 for the positive class, otherwise 0; at least one row.
    positive_proba : array of float, shape (n_rows,)
        Probability of the positive class. A row is predicted positive if it is at least the threshold, in 32 bits.
    score : callable
        ``score(true_positives, predicted_positives, n_positives)``, such as `f1_score`, for arrays of counts.

    Returns
    -------
    float
        A 32-bit number from 0 to 1, midway between two probabilities. Of several thresholds with the same score, the
        one closest to 0.5, then the lowest.
    """
    values, group = np.unique(positive_proba.astype(np.float32), return_inverse=True)
    # Thresholds from above the greatest probability to below the lowest one; each adds the rows of one probability.
    edges = np.concatenate([[np.float32(1)], values[::-1], [np.float32(0)]])
    upper, lower = edges[:-1], edges[1:]
    middle = ((upper.astype(np.float64) + lower) / 2).astype(np.float32)
    thresholds = np.where(middle > lower, middle, upper).astype(np.float64)
    added, added_positive = (
        np.bincount(group, weights, minlength=len(values)).astype(np.int64)[::-1] for weights in (None, y_true)
    )
    predicted, true = (np.concatenate([[0], np.cumsum(counts)]) for counts in (added, added_positive))
    scores = score(true, predicted, int(y_true.sum()))
    if values[-1] == 1:  # no threshold is above a probability of 1
        thresholds, scores = thresholds[1:], scores[1:]
    return float(thresholds[np.lexsort((thresholds, np.abs(thresholds - 0.5), -scores))[0]])


def f1_score(true_positives: Counts, predicted_positives: Counts, n_positives: int) -> NDArray[np.float64]:
    """Return the F1 of the positive class; 0 if it neither occurs nor is predicted."""
    return 2 * true_positives / np.maximum(predicted_positives + n_positives, 1)


def negative_cost(false_positive: float, false_negative: float) -> Score:
    """Return a score that is greatest at the lowest total cost of the wrong predictions.

    Parameters
    ----------
    false_positive, false_negative : float
        Cost of a negative row that is predicted positive, and of a positive row that is not.
    """

    def score(true_positives: Counts, predicted_positives: Counts, n_positives: int) -> NDArray[np.float64]:
        cost = false_positive * (predicted_positives - true_positives) + false_negative * (n_positives - true_positives)
        return -np.asarray(cost, dtype=np.float64)

    return score
