"""Recognize a test score that is too good to be true, and name the raw column that the model relies on most."""

from collections.abc import Mapping, Sequence

from pipeline.learn.metrics import round_significant
from pipeline.support.yaml import quote

MIN_TEST_ROWS = 200  # in fewer, a perfect score may be chance
TOO_GOOD = 0.999
MAX_BASELINE = 0.99  # a rarer class than this leaves no room for a suspicious accuracy


def suspicion(
    metrics: Mapping[str, float],
    n_test: int,
    n_classes: int,
    importance: Mapping[str, float],
    raw_columns: Mapping[str, Sequence[str]],
) -> str:
    """Return a note on a score that suggests a leak, or an empty text.

    Parameters
    ----------
    metrics : mapping of str to float
        Metrics of the test rows.
    n_test : int
        Number of test rows.
    n_classes : int
        0 for a regression.
    importance : mapping of str to float
        By feature.
    raw_columns : mapping of str to sequence of str
        The raw columns that each feature is computed from.
    """
    scores = {"test_r2": metrics.get("test_r2", 0.0)}
    if n_classes:
        scores = {"accuracy": metrics["accuracy"] if metrics["baseline_accuracy"] <= MAX_BASELINE else 0.0}
        if n_classes == 2:  # of many classes, each is easily told from all others together
            scores["roc_auc"] = metrics.get("roc_auc", 0.0)
    name, score = max(scores.items(), key=lambda item: item[1])
    if n_test < MIN_TEST_ROWS or score <= TOO_GOOD:
        return ""
    note = f"{name} {round_significant(score)} is too good to be true unless the inputs determine the target"
    shares: dict[str, float] = {}
    for feature, value in importance.items():
        columns = raw_columns.get(feature, [])
        for column in columns:
            shares[column] = shares.get(column, 0.0) + value / len(columns)
    total = sum(importance.values())
    if not total or not shares:
        return note
    column = max(shares, key=lambda column: shares[column])
    return (
        f"{note}; {column!r} has {shares[column] / total:.0%} of the importance: if it is not known when you predict, "
        f"add to dataset.drop in params.yaml: {quote(column)}"
    )
