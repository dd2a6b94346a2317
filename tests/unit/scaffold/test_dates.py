"""Formats of dates inferred from texts."""

import numpy as np
import pandas as pd
import pytest

from pipeline.features.dates import read_times
from pipeline.scaffold.dates import date_format

TIMES = pd.date_range("2019-01-03 00:07:13", periods=400, freq="29h")


@pytest.mark.parametrize(
    "written",
    [
        *("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S+02:00", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m"),
        *("%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d/%m/%y %H:%M", "%d-%b-%Y", "%B %d, %Y", "%b %Y", "%b-%y"),
        *("%Y.%m.%d", "%d-%b-%Y %H:%M", "%Y/%m/%d %H:%M:%S.%f", "%A %d %B %Y", "%m/%d/%Y %I:%M %p"),
        *("%d/%m/%Y %I:%M:%S%p", "%Y%m%d", "%Y%m%d%H%M%S", "%m-%d-%y", "%H:%M %d.%m.%Y", "%m/%Y", "%Y/%m"),
        *("%a %b %d %H:%M:%S %Y", "%d%b%Y", "%Y %m %d", "%Y-%m-%d %H:%M UTC", "%a, %d %b %Y %H:%M:%S GMT"),
    ],
)
def test_the_format_reads_the_times_that_were_written(written: str) -> None:
    texts = pd.Series(TIMES.strftime(written))
    found = date_format(texts)
    assert found is not None
    assert not found.note
    expected = pd.to_datetime(texts, format=written).dt.tz_localize(None).to_numpy("datetime64[s]")
    offset = 7200 if "+02:00" in written else 0
    np.testing.assert_array_equal(read_times(texts.tolist(), found.name, offset), expected)


def test_offsets_are_read() -> None:
    found = date_format(pd.Series(["Sat, 31 Jan 2026 10:00:00 +0200", "Tue, 3 Feb 2026 9:30:00 -0500"]))
    assert found is not None
    assert found.name == "%a, %d %b %Y %H:%M:%S %z"


@pytest.mark.parametrize(
    "texts",
    [
        ["2-10", "11-100", "1", "Over 100"],
        [f"{number}.2.{number}" for number in range(20)],
        ["192.168.1.1", "10.0.0.1"],
        ["May", "June", "March"],
        ["Mar 5", "Apr 7"],
        ["10:30", "11:30"],
        ["555-123-4567"],
        ["12-34-56", "11-22-33"],
        ["1/2", "3/4"],
        ["2020 Q1"],
        ["2026"],
        [""],
        ["", "%d", "%Y-%m"],
        ["Jan 5%Q 2020"],
        ["Jan 5 2020 Jan"],
    ],
)
def test_other_texts_have_no_format(texts: list[str]) -> None:
    assert date_format(pd.Series(texts)) is None


def test_a_date_on_several_lines_begins_with_the_day() -> None:
    found = date_format(pd.Series(["01\n20\nJan", "02\n21\nFeb"]))
    assert found is not None
    assert found.name == "%d\n%y\n%b"


def test_the_part_that_does_not_vary_is_the_day() -> None:
    firsts = pd.Series(pd.date_range("2019-01-01", periods=12, freq="MS").strftime("%d/%m/%Y"))
    found = date_format(firsts)
    assert found is not None
    assert (found.name, found.note.split(";")[0]) == ("%d/%m/%Y", "read with the day first")
