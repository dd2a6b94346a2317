"""Decide between classes by their probabilities."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating[Any]]


def predicted_classes(y_proba: Probabilities, threshold: float | None = None) -> NDArray[np.intp]:
    """Return the predicted class of each row.

    Parameters
    ----------
    y_proba : array of float, shape (n_rows, n_classes)
    threshold : float, optional
        Of two classes, the second one is predicted if its probability is at least the threshold. Both are compared in
        32 bits, so that the result does not depend on rounding in a longer sum. By default the most probable class is
        predicted, the lowest one if several are equally probable.
    """
    if threshold is None:
        return np.asarray(np.argmax(y_proba, axis=1))
    return (y_proba[:, 1].astype(np.float32) >= np.float32(threshold)).astype(np.intp)


def confidences(y_proba: Probabilities, threshold: float | None = None) -> NDArray[np.float64]:
    """Return the probability of the class that `predicted_classes` returns for each row."""
    return np.asarray(y_proba[np.arange(len(y_proba)), predicted_classes(y_proba, threshold)], dtype=np.float64)
