"""Compute the metrics of regressions and classifications, under the names they are logged with."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.features.decision import confidences, predicted_classes

Values = NDArray[np.float64]
Classes = NDArray[np.integer[Any]]

# Whether a greater value is better.
DIRECTIONS = {
    **dict.fromkeys(("rmse", "mae", "mape", "log_loss", "expected_calibration_error"), False),
    **dict.fromkeys(("r2", "accuracy", "precision", "recall", "f1", "roc_auc", "average_precision"), True),
}
CALIBRATION_BINS = 10
NAME = re.compile(
    rf"(?:test_|baseline_|cv_|fold_\d+_)?(?:(?P<metric>{'|'.join(DIRECTIONS)})"
    r"|(?P<at>precision|recall|f1)_at_[\d.e-]+)(?P<end>_mean|_std)?"
)


def rmse(y_true: Values, y_pred: Values) -> float:
    """Root mean squared error, in the target's unit.

    Examples
    --------
    >>> round(rmse(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0])), 3)
    1.732
    """
    return float(np.sqrt(np.mean((y_true - y_pred) ** 2)))


def regression_scores(y_true: Values, y_pred: Values) -> dict[str, float]:
    """Compute the metrics of predictions.

    Parameters
    ----------
    y_true, y_pred : arrays of float, shape (n_rows,)
        In the target's unit.

    Returns
    -------
    dict of str to float
        rmse and mae in the target's unit; r2, if there is more than one row; mape as a fraction, over the rows whose
        target is not 0, if there are any.
    """
    from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, r2_score

    scores = {"rmse": rmse(y_true, y_pred), "mae": float(mean_absolute_error(y_true, y_pred))}
    if len(y_true) > 1:
        scores["r2"] = float(r2_score(y_true, y_pred))
    nonzero = y_true != 0
    if nonzero.any():
        scores["mape"] = float(mean_absolute_percentage_error(y_true[nonzero], y_pred[nonzero]))
    return scores


def regression_metrics(y_true: Values, y_pred: Values, y_train_mean: float) -> dict[str, float]:
    """Compute the metrics of a model on the test set.

    Parameters
    ----------
    y_true, y_pred : arrays of float, shape (n_rows,)
        In the target's unit.
    y_train_mean : float
        Mean target of the training set, which the baseline predicts for every row.

    Returns
    -------
    dict of str to float
        The scores of `regression_scores` with the prefix ``test_``, and baseline_rmse in the target's unit.
    """
    scores = {f"test_{name}": value for name, value in regression_scores(y_true, y_pred).items()}
    return {**scores, "baseline_rmse": rmse(y_true, np.full_like(y_true, y_train_mean))}


def classification_metrics(
    y_true: Classes,
    y_proba: NDArray[np.floating[Any]],
    thresholds: Sequence[float] = (),
    *,
    y_pred: Classes | None = None,
    most_frequent: int | None = None,
    train_shares: Sequence[float] | Values | None = None,
) -> dict[str, float]:
    """Compute the metrics of predicted probabilities.

    Parameters
    ----------
    y_true : array of int, shape (n_rows,)
        Class numbers from 0; in a binary classification, class 1 is positive.
    y_proba : array of float, shape (n_rows, n_classes)
    thresholds : sequence of float
        Binary only: a row is predicted positive if the probability of the positive class is at least the threshold.
    y_pred : array of int, shape (n_rows,), optional
        Predicted classes; by default the most probable ones.
    most_frequent : int, optional
        Most frequent class of the training set, which the accuracy baseline predicts for every row.
    train_shares : sequence of float, shape (n_classes,), optional
        Share of each class in the training set, which the log loss baseline predicts for every row.

    Returns
    -------
    dict of str to float
        accuracy, precision, recall, f1, roc_auc, average_precision, log_loss and expected_calibration_error;
        baseline_accuracy and baseline_log_loss if their parameters are given; for a binary classification and a
        threshold of 0.3 also precision_at_0.3, recall_at_0.3 and f1_at_0.3.

    Notes
    -----
    Precision, recall and F1 are those of the positive class, or the macro average of a multiclass classification; 0 if
    the divisor is 0. roc_auc and average_precision are those of the positive class, or the macro average of one class
    versus the rest. Classes with none or all of the rows are left out of that average; if no class remains, the result
    has neither metric.
    """
    from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

    n_classes = y_proba.shape[1]
    y_pred = predicted_classes(y_proba) if y_pred is None else y_pred
    metrics = {
        "accuracy": float(accuracy_score(y_true, y_pred)),
        **_precision_recall_f1(y_true, y_pred, n_classes),
        **_mean_over_classes("roc_auc", roc_auc_score, y_true, y_proba),
        **_mean_over_classes("average_precision", average_precision_score, y_true, y_proba),
        "log_loss": float(per_row_log_loss(y_true, y_proba).mean()),
        "expected_calibration_error": expected_calibration_error(y_true, y_proba),
    }
    if most_frequent is not None:
        metrics["baseline_accuracy"] = float(np.mean(y_true == most_frequent))
    if train_shares is not None:
        shares = np.broadcast_to(np.asarray(train_shares, dtype=np.float64), y_proba.shape)
        metrics["baseline_log_loss"] = float(per_row_log_loss(y_true, shares).mean())
    for threshold in thresholds if n_classes == 2 else ():
        scores = _precision_recall_f1(y_true, (y_proba[:, 1] >= threshold).astype(np.intp), n_classes)
        metrics |= {f"{name}_at_{threshold:g}": value for name, value in scores.items()}
    return metrics


def expected_calibration_error(y_true: Classes, y_proba: NDArray[np.floating[Any]]) -> float:
    """Return the mean difference between predicted probabilities and observed shares, over bins of the rows.

    Parameters
    ----------
    y_true : array of int, shape (n_rows,)
    y_proba : array of float, shape (n_rows, n_classes)

    Returns
    -------
    float
        From 0 (calibrated) to 1. Binary: of the probability of the positive class, compared with its share. Multiclass:
        of the probability of the most probable class, compared with the share of correct predictions.

    Notes
    -----
    The measure is that of Naeini, Cooper and Hauskrecht, *Obtaining Well Calibrated Probabilities Using Bayesian
    Binning*, 2015, with bins of equally many rows; rows of equal probability are in the same bin.
    """
    is_binary = y_proba.shape[1] == 2
    proba = y_proba[:, 1].astype(np.float64) if is_binary else confidences(y_proba)
    observed = y_true if is_binary else predicted_classes(y_proba) == y_true
    edges = np.quantile(proba, np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS, method="inverted_cdf")
    return float(np.abs(np.bincount(np.searchsorted(edges, proba), proba - observed)).sum() / len(proba))


def ranking_classes(y_true: Classes, n_classes: int) -> list[int]:
    """Return the classes that ranking metrics use: the positive one or all, except those with no rows or all rows."""
    counts = np.bincount(y_true, minlength=n_classes)
    return [k for k in range(1 if n_classes == 2 else 0, n_classes) if 0 < counts[k] < len(y_true)]


def per_row_log_loss(y_true: Classes, y_proba: NDArray[np.floating[Any]]) -> Values:
    """Return the log loss of each row; the mean equals scikit-learn's `log_loss` of normalized float64 probabilities.

    Parameters
    ----------
    y_true : array of int, shape (n_rows,)
    y_proba : array of float, shape (n_rows, n_classes)

    Returns
    -------
    array of float64, shape (n_rows,)
        In nats, at most 36.05: probabilities are normalized and clipped to [eps, 1 - eps] of float64.
    """
    epsilon = np.finfo(np.float64).eps
    true_proba = np.asarray(y_proba[np.arange(len(y_true)), y_true], dtype=np.float64)
    true_proba /= y_proba.sum(axis=1, dtype=np.float64)
    return np.asarray(-np.log(np.clip(true_proba, epsilon, 1 - epsilon)))


def greater_is_better(name: str) -> bool | None:
    """Return whether greater values of a metric are better, False if smaller ones are, None if the name is unknown.

    A name may include the data it was measured on (test_rmse, cv_f1_mean, fold_2_log_loss, baseline_accuracy) and a
    threshold (f1_at_0.3). A standard deviation over folds (cv_f1_std) is better when smaller.
    """
    match = NAME.fullmatch(name)
    if not match:
        return None
    return match["end"] != "_std" and DIRECTIONS[match["metric"] or match["at"]]


def round_significant(value: float) -> float:
    """Round to six significant digits, so that committed metrics do not depend on floating-point rounding.

    Examples
    --------
    >>> round_significant(31704.2871), round_significant(0.900183649)
    (31704.3, 0.900184)
    """
    return float(f"{value:.6g}")


def _precision_recall_f1(y_true: Classes, y_pred: Classes, n_classes: int) -> dict[str, float]:
    from sklearn.metrics import precision_recall_fscore_support

    # With only the positive class, the macro average is the score of that class.
    labels = [1] if n_classes == 2 else range(n_classes)
    scores = precision_recall_fscore_support(y_true, y_pred, labels=labels, average="macro", zero_division=0)
    return {name: float(value) for name, value in zip(("precision", "recall", "f1"), scores, strict=False)}


def _mean_over_classes(
    name: str, score: Callable[..., float], y_true: Classes, y_proba: NDArray[np.floating[Any]]
) -> dict[str, float]:
    scores = [score(y_true == k, y_proba[:, k]) for k in ranking_classes(y_true, y_proba.shape[1])]
    return {name: float(np.mean(scores))} if scores else {}
