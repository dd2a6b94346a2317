"""A test score that is too good to be true, and the column that it depends on."""

import pytest

from pipeline.train.suspicion import suspicion

IMPORTANCE = {"refund": 90.0, "city_a": 4.0, "city_b": 4.0, "neighbor_price": 2.0}
COLUMNS = {"refund": ["refund: paid"], "city_a": ["city"], "city_b": ["city"], "neighbor_price": ["x", "city"]}


def classes(accuracy: float = 0.95, baseline: float = 0.6, roc_auc: float = 0.98) -> dict[str, float]:
    return {"accuracy": accuracy, "baseline_accuracy": baseline, "roc_auc": roc_auc}


def test_the_note_names_the_raw_column_and_the_line_that_drops_it() -> None:
    assert suspicion({"test_r2": 0.99987654}, 200, 0, IMPORTANCE, COLUMNS) == (
        "test_r2 0.999877 is too good to be true unless the inputs determine the target; 'refund: paid' has 90% of the "
        'importance: if it is not known when you predict, add to dataset.drop in params.yaml: "refund: paid"'
    )


def test_features_of_a_column_count_together() -> None:
    importance = {**IMPORTANCE, "refund": 5.0}
    assert "'city' has 60% of the importance" in suspicion({"test_r2": 0.9999}, 200, 0, importance, COLUMNS)


@pytest.mark.parametrize(
    ("metrics", "n_classes", "named"),
    [
        (classes(accuracy=0.9995), 3, "accuracy 0.9995"),
        (classes(roc_auc=0.9995), 2, "roc_auc 0.9995"),
        (classes(accuracy=0.9995, baseline=0.995, roc_auc=0.9998), 2, "roc_auc 0.9998"),
        (classes(roc_auc=0.9995), 3, ""),
        (classes(accuracy=0.9995, baseline=0.9995), 2, ""),
        (classes(), 2, ""),
        ({"test_r2": 0.99}, 0, ""),
        ({}, 0, ""),
    ],
)
def test_scores_above_the_limit_are_noted(metrics: dict[str, float], n_classes: int, named: str) -> None:
    note = suspicion(metrics, 1000, n_classes, IMPORTANCE, COLUMNS)
    assert note.startswith(f"{named} is too good to be true") if named else not note


def test_a_perfect_score_of_few_rows_or_without_importance_has_no_column() -> None:
    assert not suspicion(classes(accuracy=1.0, roc_auc=1.0), 30, 3, IMPORTANCE, COLUMNS)
    assert suspicion({"test_r2": 1.0}, 500, 0, {"refund": 0.0}, COLUMNS).endswith("determine the target")
