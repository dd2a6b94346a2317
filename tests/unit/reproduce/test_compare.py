"""Differences between a training and its reproduction."""

from pipeline.reproduce.compare import differences, package_differences
from pipeline.reproduce.original import Result


def test_metrics_are_compared_exactly() -> None:
    before = Result({"a": 0.3, "b": float("nan"), "c": 1.0}, {"model file": "x", "test table": "y"})
    assert differences(before, before) == []
    now = Result({"a": 0.1 + 0.2, "b": float("nan"), "d": 2.0}, {"model file": "x", "test table": "z"})
    assert differences(before, now) == [
        ("a", "0.3", "0.30000000000000004"),
        ("c", "1.0", "-"),
        ("d", "-", "2.0"),
        ("test table", "y", "z"),
    ]
    assert package_differences({"a": "1", "B": "2"}, {"B": "3", "c": "1"}) == [
        ("a", "1", "-"),
        ("B", "2", "3"),
        ("c", "-", "1"),
    ]
