"""The page that summarizes a table."""

import os
import re

import numpy as np
import pandas as pd

from pipeline.tables.table_report import MAX_COLUMNS, MAX_ROWS, table_report

N = 60


def hostile() -> pd.DataFrame:
    """Return a table with values that are hard to count, to draw or to write as HTML."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "y": rng.normal(size=N),
            "infinite": np.where(np.arange(N) % 7 == 0, np.inf, rng.normal(size=N)),
            "huge": rng.choice([-1e308, 1e308], N),
            "empty": np.nan,
            "none": None,
            "constant": 1,
            "flag": pd.array([True, None] * (N // 2), dtype="boolean"),
            "list": [[1, 2]] * N,
            "mixed": [1, "a"] * (N // 2),
            "date": pd.date_range("2000", periods=N, tz="UTC"),
            "long": "x" * 10_000,
            "<b>": "</script><script>alert(1)</script>",
            "line\nbreak": "a\nb",
            "$a_1$": np.arange(N),
            "日本": "ä",
        }
    )


def test_equal_tables_give_equal_pages_that_load_nothing() -> None:
    page = table_report(hostile(), "y", "a & b", N)
    assert table_report(hostile(), "y", "a & b", N) == page
    assert "SOURCE_DATE_EPOCH" not in os.environ
    assert "a &amp; b" in page
    assert "<script>alert" not in page
    loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=.(?!data:)", page)
    assert loaded == []
    assert "@import" not in page
    cells = re.findall(r'\sid="(cell_\d+)"', page)
    assert len(cells) == len(set(cells)) > 10 * len(hostile().columns)


def test_small_tables_have_pages() -> None:
    for n_rows in (0, 1):
        assert table_report(hostile().head(n_rows), "y", "t", n_rows).startswith("<!DOCTYPE html>")


def test_large_tables_are_sampled_with_the_target() -> None:
    rng = np.random.default_rng(0)
    long = pd.DataFrame({"x": np.arange(2 * MAX_ROWS), "y": rng.normal(size=2 * MAX_ROWS)})
    assert "t (10,000 of 30,000 rows)" in table_report(long, "y", "t", 3 * MAX_ROWS)
    wide = pd.DataFrame(rng.normal(size=(N, 1503)), columns=[f"x{number}" for number in range(1502)] + ["y"])
    page = table_report(wide, "y", "t", N)
    assert "t (100 of 1,503 columns)" in page
    names = re.findall(r">\s*(x\d+|y)\s*<", page)
    assert names[0] == "y"
    assert set(names) == {"y", *(f"x{number}" for number in range(MAX_COLUMNS - 1))}
