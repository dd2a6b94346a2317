"""The metrics agree with values computed by hand and by scikit-learn, also if classes are absent."""

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    precision_score,
    r2_score,
    recall_score,
    roc_auc_score,
)

from pipeline.features.decision import predicted_classes
from pipeline.learn.metrics import (
    classification_metrics,
    expected_calibration_error,
    greater_is_better,
    per_row_log_loss,
    ranking_classes,
    regression_metrics,
    regression_scores,
    rmse,
    round_significant,
)

NAMES = [
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "average_precision",
    "log_loss",
    "expected_calibration_error",
]


def probabilities(n_rows, n_classes, dtype=np.float64, seed=0):
    """Return classes, and probabilities that are correlated with them."""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, n_classes, n_rows)
    scores = rng.normal(size=(n_rows, n_classes)) + 1.5 * np.eye(n_classes)[y_true]
    return y_true, (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(dtype)


def test_regression_by_hand():
    y_true, y_pred = np.array([1.0, 2.0, 4.0, 0.0]), np.array([2.0, 2.0, 2.0, 1.0])
    expected = {"rmse": np.sqrt(6 / 4), "mae": 1.0, "r2": 1 - 6 / 8.75, "mape": (1 + 0 + 0.5) / 3}
    assert regression_scores(y_true, y_pred) == pytest.approx(expected)
    metrics = regression_metrics(y_true, y_pred, 3.0)
    assert metrics == pytest.approx(
        {f"test_{name}": value for name, value in expected.items()} | {"baseline_rmse": np.sqrt(15 / 4)}
    )


def test_regression_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    y_true = rng.normal(100, 20, 500)
    y_pred = y_true + rng.normal(0, 5, 500)
    scores = regression_scores(y_true, y_pred)
    assert scores["mae"] == mean_absolute_error(y_true, y_pred)
    assert scores["r2"] == r2_score(y_true, y_pred)
    assert scores["rmse"] == rmse(y_true, y_pred)


def test_regression_leaves_out_what_is_undefined():
    assert set(regression_scores(np.zeros(3), np.ones(3))) == {"rmse", "mae", "r2"}  # mape would divide by 0
    assert set(regression_scores(np.ones(1), np.zeros(1))) == {"rmse", "mae", "mape"}  # one row has no variance


def test_binary_classification_by_hand():
    # Predicted classes 0, 1, 0, 1: recall and precision are both one of two.
    y_true = np.array([0, 0, 1, 1])
    positive = np.array([0.1, 0.6, 0.35, 0.8])
    metrics = classification_metrics(y_true, np.column_stack([1 - positive, positive]), [0.3, 0.7])
    loss = -(np.log(0.9) + np.log(0.4) + np.log(0.35) + np.log(0.8)) / 4
    assert metrics == pytest.approx(
        {
            "accuracy": 0.5,
            "precision": 0.5,
            "recall": 0.5,
            "f1": 0.5,
            "roc_auc": 3 / 4,  # one of the four pairs of a positive and a negative row is ranked in the wrong order
            "average_precision": 1 / 2 * 1 + 1 / 2 * 2 / 3,
            "log_loss": loss,
            "expected_calibration_error": (0.1 + 0.6 + 0.65 + 0.2) / 4,  # each row is a bin
            "precision_at_0.3": 2 / 3,
            "recall_at_0.3": 1.0,
            "f1_at_0.3": 0.8,
            "precision_at_0.7": 1.0,
            "recall_at_0.7": 0.5,
            "f1_at_0.7": 2 / 3,
        }
    )


def test_a_probability_at_the_threshold_counts_as_positive():
    metrics = classification_metrics(np.array([0, 1]), np.array([[0.75, 0.25], [0.75, 0.25]]), [0.25])
    assert metrics["recall_at_0.25"] == 1.0
    assert metrics["precision_at_0.25"] == 0.5


def test_given_classes_replace_the_most_probable_ones():
    y_true, y_proba = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    default = classification_metrics(y_true, y_proba)
    metrics = classification_metrics(y_true, y_proba, y_pred=np.array([0, 1, 1]))
    assert (default["recall"], metrics["recall"], metrics["accuracy"]) == (0.5, 1.0, 1.0)
    assert {name for name in NAMES if metrics[name] != default[name]} == {"accuracy", "recall", "f1"}


def test_calibration_error():
    rng = np.random.default_rng(0)
    proba = rng.random(100_000)
    y_true = (rng.random(100_000) < proba).astype(np.int64)
    calibrated = np.column_stack([1 - proba, proba])
    assert expected_calibration_error(y_true, calibrated) < 0.01
    odds = 20 * proba / (1 - proba)  # as a weight of 20 for the positive class would give
    weighted = odds / (1 + odds)
    error = expected_calibration_error(y_true, np.column_stack([1 - weighted, weighted]))
    assert error == pytest.approx(np.mean(weighted - proba), abs=0.01)
    order = rng.permutation(100_000)
    assert expected_calibration_error(y_true[order], calibrated[order]) == pytest.approx(
        expected_calibration_error(y_true, calibrated), rel=1e-9
    )
    # Three classes: confidence 0.6 in all rows, of which a half are right.
    sure = np.tile([0.6, 0.3, 0.1], (10, 1))
    assert expected_calibration_error(np.array([0, 1] * 5), sure) == pytest.approx(0.1)


def test_threshold_names_have_no_trailing_zeros():
    y_true, y_proba = probabilities(50, 2)
    names = set(classification_metrics(y_true, y_proba, [0.05, 0.50, 1e-5])) - set(NAMES)
    assert names == {f"{name}_at_{at}" for name in ("precision", "recall", "f1") for at in ("0.05", "0.5", "1e-05")}
    y_true, y_proba = probabilities(50, 3)
    assert list(classification_metrics(y_true, y_proba, [0.3])) == NAMES


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_classification_agrees_with_scikit_learn(dtype):
    y_true, y_proba = probabilities(400, 2, dtype)
    y_pred, positive = y_proba.argmax(axis=1), y_proba[:, 1]
    metrics = classification_metrics(y_true, y_proba)
    assert list(metrics) == NAMES
    assert metrics["accuracy"] == np.mean(y_true == y_pred)
    assert metrics["precision"] == precision_score(y_true, y_pred)
    assert metrics["recall"] == recall_score(y_true, y_pred)
    assert metrics["f1"] == f1_score(y_true, y_pred)
    assert metrics["roc_auc"] == roc_auc_score(y_true, positive)
    assert metrics["average_precision"] == average_precision_score(y_true, positive)
    assert metrics["log_loss"] == pytest.approx(log_loss(y_true, y_proba), rel=1e-6)


@pytest.mark.parametrize("n_classes", [3, 12])
def test_multiclass_classification_agrees_with_scikit_learn(n_classes):
    y_true, y_proba = probabilities(600, n_classes)
    y_pred = y_proba.argmax(axis=1)
    metrics = classification_metrics(y_true, y_proba)
    assert list(metrics) == NAMES
    assert metrics["accuracy"] == np.mean(y_true == y_pred)
    assert metrics["precision"] == pytest.approx(precision_score(y_true, y_pred, average="macro"))
    assert metrics["recall"] == pytest.approx(recall_score(y_true, y_pred, average="macro"))
    assert metrics["f1"] == pytest.approx(f1_score(y_true, y_pred, average="macro"))
    assert metrics["roc_auc"] == pytest.approx(roc_auc_score(y_true, y_proba, multi_class="ovr"))
    assert metrics["average_precision"] == pytest.approx(average_precision_score(y_true, y_proba))
    assert metrics["log_loss"] == pytest.approx(log_loss(y_true, y_proba))


def test_baselines():
    y_true, y_proba = np.array([0, 1, 1, 2]), np.full((4, 3), 1 / 3)
    metrics = classification_metrics(y_true, y_proba, most_frequent=1, train_shares=[0.25, 0.5, 0.25])
    assert metrics["baseline_accuracy"] == 0.5
    assert metrics["baseline_log_loss"] == pytest.approx((2 * np.log(4) + 2 * np.log(2)) / 4)
    assert metrics["log_loss"] == pytest.approx(np.log(3))
    assert not any(name.startswith("baseline") for name in classification_metrics(y_true, y_proba))


def test_a_class_without_rows_is_left_out_of_the_averages_of_ranking_metrics():
    y_true, y_proba = probabilities(300, 4)
    present = y_true != 2
    y_true, y_proba = y_true[present], y_proba[present]
    metrics = classification_metrics(y_true, y_proba, most_frequent=2, train_shares=np.full(4, 0.25))
    assert ranking_classes(y_true, 4) == [0, 1, 3]
    aucs = [roc_auc_score(y_true == k, y_proba[:, k]) for k in (0, 1, 3)]
    assert metrics["roc_auc"] == pytest.approx(np.mean(aucs))
    recalls = [np.mean(y_proba[y_true == k].argmax(axis=1) == k) for k in (0, 1, 3)]
    assert metrics["recall"] == pytest.approx(np.sum(recalls) / 4)
    assert metrics["baseline_accuracy"] == 0.0
    assert metrics["log_loss"] == pytest.approx(log_loss(y_true, y_proba, labels=range(4)))


@pytest.mark.parametrize(("row_class", "n_classes"), [(0, 2), (1, 2), (1, 3)])
def test_rows_of_only_one_class(row_class, n_classes):
    y_true, y_proba = np.full(2, row_class), probabilities(2, n_classes, np.float32)[1]
    metrics = classification_metrics(y_true, y_proba, [0.5])
    assert ranking_classes(y_true, n_classes) == []
    assert "roc_auc" not in metrics
    assert "average_precision" not in metrics
    assert np.isfinite(list(metrics.values())).all()
    if (row_class, n_classes) == (0, 2):
        assert metrics["recall"] == metrics["f1"] == 0.0


def test_ties_are_predicted_as_the_lower_class():
    assert predicted_classes(np.array([[0.5, 0.5], [0.4, 0.6]])).tolist() == [0, 1]
    assert predicted_classes(np.array([[0.2, 0.4, 0.4]])).tolist() == [1]


def test_log_loss_of_rows():
    y_true, y_proba = np.array([0, 1, 1]), np.array([[1.0, 0.0], [1.0, 0.0], [0.75, 0.25]])
    losses = per_row_log_loss(y_true, y_proba)
    epsilon = np.finfo(float).eps
    assert losses == pytest.approx([epsilon, -np.log(epsilon), np.log(4)])
    assert losses[1] <= 36.05
    assert losses.mean() == pytest.approx(log_loss(y_true, y_proba), rel=1e-12)


def test_log_loss_normalizes_float32():
    y_true, y_proba = probabilities(200, 5, np.float32)
    y_proba *= np.float32(1.01)
    losses = per_row_log_loss(y_true, y_proba)
    assert losses.dtype == np.float64
    exact = y_proba.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    assert losses.mean() == pytest.approx(log_loss(y_true, exact), rel=1e-12)


def test_direction_of_metric_names():
    for name in (
        "rmse",
        "test_rmse",
        "cv_rmse_mean",
        "cv_f1_std",
        "fold_12_log_loss",
        "test_mape",
        "baseline_log_loss",
        "expected_calibration_error",
    ):
        assert greater_is_better(name) is False, name
    for name in ("r2", "test_r2", "cv_f1_mean", "f1_at_0.3", "cv_recall_at_1e-05_mean", "baseline_accuracy", "roc_auc"):
        assert greater_is_better(name) is True, name
    for name in ("", "loss", "my_rmse", "rmse_at_0.3", "log_loss_at_0.3", "f1_at_", "f1_at_0.3_best", "search_rows"):
        assert greater_is_better(name) is None, name


def test_every_logged_metric_has_a_direction():
    y_true, y_proba = probabilities(50, 2)
    names = [*classification_metrics(y_true, y_proba, [0.3], most_frequent=0, train_shares=[0.5, 0.5])]
    names += regression_metrics(np.arange(1.0, 5), np.arange(4.0), 2.0)
    assert None not in {greater_is_better(name) for name in names}


def test_rounding_keeps_six_significant_digits():
    assert round_significant(123456.789) == 123457.0
    assert round_significant(0.000123456789) == 0.000123457
