"""What a run that failed says of the reason."""

import pytest

from pipeline.errors import TableError
from pipeline.train.runs import _reason


def stopped_within_a_lock() -> None:
    try:
        raise SystemExit(143)
    finally:
        raise RuntimeError("release unlocked lock")


def test_a_stop_is_told_as_one_where_a_librarys_clean_up_failed_on_the_way() -> None:
    with pytest.raises(RuntimeError, match="release unlocked lock") as caught:
        stopped_within_a_lock()
    assert _reason(caught.value) == _reason(SystemExit(143)) == "stopped by a signal"


def test_other_errors_are_told_by_their_problem_or_their_type() -> None:
    assert _reason(TableError("column a is empty", "fill it")) == "column a is empty"
    assert _reason(ZeroDivisionError("division by zero")) == "ZeroDivisionError: division by zero"
