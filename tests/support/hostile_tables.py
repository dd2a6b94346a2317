"""Strategies that draw tables with hostile names and values."""

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from support.hostile import HOSTILE, TEXTS

BIG = [
    0.0,
    -0.0,
    1e-300,
    1e-45,
    1e30,
    -3.4e38,
    3.5e38,
    1e300,
    -1e308,
    float("inf"),
    float("nan"),
    2.0**53 + 1,
    1e18,
    123.5,
]


def cells(kind: str) -> st.SearchStrategy[Any]:
    """Return a strategy for the values of a kind of column."""
    return {
        "number": st.floats(-1000, 1000) | st.integers(-5, 5).map(float),
        "huge": st.sampled_from(BIG),
        "tiny": st.sampled_from([1.0, 1.0000001, 1e-30, 2e-30]),
        "whole": st.integers(-3, 3),
        "wide": st.integers(-(2**63), 2**63 - 1),
        "bool": st.booleans(),
        "few": st.sampled_from(["a", "b", "c"]),
        "text": st.sampled_from(TEXTS),
        "any": st.text(max_size=6),
        "code": st.sampled_from(["007", "10001", "0"]),
        "date": st.dates(datetime.date(1700, 1, 1), datetime.date(2250, 1, 1)),
        "time": st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2250, 1, 1)),
        "decimal": st.sampled_from([decimal.Decimal("1.5"), decimal.Decimal("-2"), decimal.Decimal("1e20")]),
        "bytes": st.binary(max_size=3),
        "list": st.lists(st.integers(0, 2), max_size=2),
        "dict": st.fixed_dictionaries({"x": st.integers(0, 2)}),
        "delta": st.timedeltas(datetime.timedelta(-9), datetime.timedelta(9)),
        "mixed": st.sampled_from([1, 2.5, "a", True, "3"]),
    }[kind]


CSV_KINDS = ["number", "huge", "tiny", "whole", "wide", "bool", "few", "text", "any", "code", "date", "mixed"]
SOUND = ["number", "whole", "few", "bool"]
KINDS = [*CSV_KINDS, "time", "decimal", "bytes", "list", "dict", "delta"]
DTYPES = {
    "whole": ["Int64", "int8", "uint16", "float32", "category"],
    "number": ["Float64", "float32", "float16"],
    "bool": ["boolean", "category"],
    "few": ["category", "string"],
    "text": ["category"],
}


@st.composite
def columns(draw: st.DrawFn, kinds: list[str], n_rows: int) -> pd.Series:
    """Draw a column: constant, of a few values, or of distinct values; some of them may be missing."""
    kind = draw(st.sampled_from([*SOUND * 3, *kinds]))
    few = draw(st.lists(cells(kind), min_size=1, max_size=4))
    seed = draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    values = [few[place] for place in rng.integers(0, len(few), n_rows)]
    if kind == "number" and draw(st.booleans()):
        values = list(rng.normal(size=n_rows))
    missing = draw(st.sampled_from([0, 0.2, 0, 0.9, 0, 0.5, 0.1, 0, 0, 0, 0.3, 0, 0.95, 0, 0, 0.7, 0, 0, 0, 1]))
    column = pd.Series(values, dtype=object if kind in ("date", "decimal", "bytes", "list", "dict", "mixed") else None)
    if kind in DTYPES and draw(st.booleans()):
        column = column.astype(draw(st.sampled_from(DTYPES[kind])))
    is_missing = rng.random(n_rows) < missing
    return column.where(~is_missing) if is_missing.any() else column


@st.composite
def tables(draw: st.DrawFn, kinds: list[str]) -> pd.DataFrame:
    """Draw a table with distinct names, 1 to 60 rows, and perhaps duplicate rows."""
    n_rows = draw(st.sampled_from([40, 60, 30, 50, 25, 20, 35, 12, 5, 1]))
    named = draw(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=4, unique=True))
    table = pd.DataFrame({name: draw(columns(kinds, n_rows)) for name in named})
    table["y"] = draw(columns(draw(st.sampled_from([["number"], ["few"], ["whole"], ["bool"], kinds])), n_rows))
    return table if draw(st.integers(0, 5)) else pd.concat([table, table.head(3)])
