"""A paired bootstrap: how often a model beats another on resampled test rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.features.decision import predicted_classes
from pipeline.learn.metrics import DIRECTIONS, expected_calibration_error, ranking_classes
from pipeline.learn.task import Task

Values = NDArray[Any]
BATCH = 2_000_000  # resampled rows in memory at a time, 32 bytes each
SLOW = 2  # seconds before a progress bar appears


@dataclass(frozen=True)
class PairedOutputs:
    """Predictions of two models for the same rows.

    Attributes
    ----------
    task : Task
    y_true : array, shape (n_rows,)
        From `Task.encode`.
    current, candidate : arrays of float, shape (n_rows,) or (n_rows, n_classes)
        Predictions, or probabilities of the classes. `current` is None if that model cannot predict the rows.
    current_classes, candidate_classes : arrays of int, shape (n_rows,), optional
        Predicted classes; by default the most probable ones.
    """

    task: Task
    y_true: Values
    current: Values | None
    candidate: Values
    current_classes: Values | None = None
    candidate_classes: Values | None = None

    @property
    def pairs(self) -> list[tuple[Values | None, Values | None]]:
        """Outputs and predicted classes of both models, the current one first."""
        return [(self.current, self.current_classes), (self.candidate, self.candidate_classes)]


def bootstrap_win_rate(metric: str, outputs: PairedOutputs, n_resamples: int, seed: int) -> float:
    """Return the share of bootstrap resamples in which the candidate's metric is better than the current model's.

    Each resample draws as many rows as there are, with replacement, and is the same for both models
    (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 16).

    Parameters
    ----------
    metric : str
        A key of `pipeline.learn.metrics.DIRECTIONS` that fits the task.
    outputs : PairedOutputs
        Predictions of both models for at least two rows.
    n_resamples : int
    seed : int
        Random seed of the resamples.
    """
    from scipy.stats import bootstrap

    y_true, pair = outputs.y_true, [(found, classes) for found, classes in outputs.pairs if found is not None]
    n_rows, rng = len(y_true), np.random.default_rng(seed)
    losses = [_losses(metric, outputs.task, y_true, *predictions) for predictions in pair]
    if losses[0] is not None and losses[1] is not None:
        result = bootstrap(
            (losses[0] - losses[1],),
            np.mean,
            n_resamples=n_resamples,
            batch=max(1, BATCH // n_rows),
            method="percentile",
            rng=rng,
        )
        return float(np.mean(result.bootstrap_distribution > 0))

    from tqdm import tqdm

    current_score, candidate_score = (_metric_on_rows(metric, y_true, *predictions) for predictions in pair)
    sign = 1 if DIRECTIONS[metric] else -1
    with tqdm(total=n_resamples, desc="resamples", unit="", delay=SLOW, disable=None, leave=False) as bar:

        def gain(rows: Values) -> float:
            bar.update()
            difference = sign * (candidate_score(rows) - current_score(rows))
            return 0.0 if np.isnan(difference) else difference  # undefined on these rows: not better

        result = bootstrap(
            (np.arange(n_rows),),
            gain,
            n_resamples=n_resamples,
            batch=1,
            vectorized=False,
            method="percentile",
            rng=rng,
        )
    return float(np.mean(result.bootstrap_distribution > 0))


def _losses(
    metric: str, task: Task, y_true: Values, outputs: Values, classes: Values | None
) -> NDArray[np.float64] | None:
    """Return losses of the rows whose mean is lower exactly when the metric is better; None for other metrics.

    R² and MAPE also divide by a term that depends only on the rows, so it is the same for both models.
    """
    if metric in ("rmse", "r2", "log_loss"):
        return task.losses(y_true, outputs)
    if metric == "accuracy":
        y_pred = predicted_classes(outputs) if classes is None else classes
        return np.asarray(y_pred != y_true, dtype=np.float64)
    if metric in ("mae", "mape"):
        errors = np.abs(outputs - y_true)
        weights = np.divide(1, np.abs(y_true), out=np.zeros_like(y_true), where=y_true != 0)
        return np.asarray(errors * weights if metric == "mape" else errors, dtype=np.float64)
    return None


def _metric_on_rows(metric: str, y_true: Values, outputs: Values, classes: Values | None) -> Callable[[Values], float]:
    """Return a function of row numbers that computes a classification metric as `pipeline.learn.metrics` does."""
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

    n_classes = outputs.shape[1]
    if metric in ("roc_auc", "average_precision"):
        score = roc_auc_score if metric == "roc_auc" else average_precision_score

        def score_of_ranking(rows: Values) -> float:
            y, proba = y_true[rows], outputs[rows]
            scores = [score(y == k, proba[:, k]) for k in ranking_classes(y, n_classes)]
            return float(np.mean(scores)) if scores else np.nan

        return score_of_ranking
    if metric == "expected_calibration_error":
        return lambda rows: expected_calibration_error(y_true[rows], outputs[rows])

    # These depend only on the confusion matrix, whose few cells are cheaper to weight than the rows.
    position = ("precision", "recall", "f1").index(metric)
    true, predicted = np.divmod(np.arange(n_classes**2), n_classes)
    cells = y_true * n_classes + (predicted_classes(outputs) if classes is None else classes)

    def score_of_counts(rows: Values) -> float:
        counts = np.bincount(cells[rows], minlength=n_classes**2)
        scores = precision_recall_fscore_support(
            true,
            predicted,
            labels=[1] if n_classes == 2 else range(n_classes),
            average="macro",
            zero_division=0,
            sample_weight=counts,
        )
        return float(scores[position])

    return score_of_counts
