"""The reason in the tag `error` of a failed run."""

import pytest

from pipeline.errors import TableError
from pipeline.train.runs import _reason


def stop_within_a_lock() -> None:
    try:
        raise SystemExit(143)
    finally:
        raise RuntimeError("release unlocked lock")


def test_a_stop_is_the_reason_even_if_a_cleanup_failed() -> None:
    with pytest.raises(RuntimeError, match="release unlocked lock") as caught:
        stop_within_a_lock()
    assert _reason(caught.value) == _reason(SystemExit(143)) == "stopped by a signal"


def test_other_errors_are_reported_by_problem_or_type() -> None:
    assert _reason(TableError("column a is empty", "fill it")) == "column a is empty"
    assert _reason(ZeroDivisionError("division by zero")) == "ZeroDivisionError: division by zero"
