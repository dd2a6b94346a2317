"""Regression metrics, by the names they are logged under."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def rmse(y_true: Values, y_pred: Values) -> float:
    """Root mean squared error, in the target's unit."""
    return float(np.sqrt(np.mean((y_true - y_pred) ** 2)))


def regression_metrics(y_true: Values, y_pred: Values, y_train_mean: float) -> dict[str, float]:
    """Compute the metrics of a model on the test rows.

    Parameters
    ----------
    y_true, y_pred : arrays of float, shape (n_rows,)
        In the target's unit.
    y_train_mean : float
        The mean target of the training rows: what the baseline predicts for every row.

    Returns
    -------
    dict of str to float
        test_rmse, test_mae and baseline_rmse in the target's unit; test_r2; test_mape as a fraction, over the
        rows whose target is not 0.
    """
    from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, r2_score

    nonzero = y_true != 0
    metrics = {
        "test_rmse": rmse(y_true, y_pred),
        "test_mae": float(mean_absolute_error(y_true, y_pred)),
        "test_r2": float(r2_score(y_true, y_pred)),
        "baseline_rmse": rmse(y_true, np.full_like(y_true, y_train_mean)),
    }
    if nonzero.any():
        metrics["test_mape"] = float(mean_absolute_percentage_error(y_true[nonzero], y_pred[nonzero]))
    return metrics


def rounded(value: float) -> float:
    """Round to six significant digits: what is committed must not hang on the last bit of a sum."""
    return float(f"{value:.6g}")
