"""What the texts of a column are: dates, numbers with flaws, hashes, prose; and values as messages show them."""

import itertools
import re
from typing import Literal

import pandas as pd

from pipeline.features.columns import as_text, kind_of

SAMPLE = 500  # different values that are looked at
MOST_SHOWN = 5
LONGEST_SHOWN = 30

_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|^\d{4}-\d\d$|\b(?:jan|feb|m|apr|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b", re.I
)
_DAYS = (
    *("%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%b %Y", "%b-%y"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_STYLED = re.compile(r"[\s$€£¥+-]*(?:\d{1,3}(?:[,.' ]\d{3})+|\d+)(?:[.,]\d+)?\s*[%€$£¥]?")
_HASH = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?=.*\d)(?=.*[a-f])[0-9a-f]{16,}", re.I)


def plain(column: pd.Series) -> pd.Series:
    """Return the values that are there, as booleans, numbers or texts where they are such in a column of any type."""
    values = column.dropna()
    if values.dtype == object:
        values = values.infer_objects()
        if kind_of(values) is None and values.map(lambda value: isinstance(value, bool | str | int | float)).all():
            return as_text(values)
    return values


def shown(value: object) -> str:
    """Return a value as messages and comments show it: short, on one line."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 2] + "…" + text[-1:]


def counted(values: pd.Series) -> str:
    """Return the most frequent values with their rows."""
    counts = values.value_counts()
    first = [f"{shown(value)} ({count:,} rows)" for value, count in counts.head(MOST_SHOWN).items()]
    return ", ".join(first) + (", …" if len(counts) > MOST_SHOWN else "")


def written_dates(texts: pd.Series) -> Literal["iso", "other"] | None:
    """Return how dates are written when nearly all texts are such, else None."""
    sample = texts.drop_duplicates().head(SAMPLE)
    if sample.str.contains(_DATE).mean() < 0.95:
        return None
    if pd.to_datetime(sample, format="ISO8601", errors="coerce", utc=True).notna().mean() >= 0.95:
        return "iso"
    for day, time in itertools.product(_DAYS, _TIMES):
        if pd.to_datetime(sample, format=day + time, errors="coerce").notna().mean() >= 0.95:
            return "other"
    return None


def flawed_numbers(texts: pd.Series) -> str:
    """Return what keeps a column of numbers from being read as one; empty when it is none."""
    different = pd.Series(texts.unique())
    numbers = different[pd.to_numeric(different, errors="coerce").notna()]
    wrong = texts[~texts.isin(numbers)]
    if len(numbers) > 10 and len(wrong) <= len(texts) / 2:
        if wrong.empty:
            return f"numbers that are stored as text, such as {shown(texts.iloc[0])}"
        rows = "1 row is not" if len(wrong) == 1 else f"{len(wrong):,} rows are not"
        return f"numbers, but {rows}, such as {shown(wrong.iloc[0])} in row {wrong.index[0] + 1}"
    if len(different) > 10 and different.str.fullmatch(_STYLED).mean() >= 0.95:
        return f"numbers written with other signs than digits and point, such as {shown(wrong.iloc[0])}"
    return ""


def are_hashes(texts: pd.Series) -> bool:
    """Return whether all texts are UUIDs or long hexadecimal numbers."""
    return bool(texts.drop_duplicates().head(SAMPLE).str.fullmatch(_HASH).all())


def is_prose(texts: pd.Series) -> bool:
    """Return whether texts are long and of several words."""
    sample = texts.drop_duplicates().head(SAMPLE)
    return bool(sample.str.len().mean() >= LONGEST_SHOWN and sample.str.count(r"\s+").mean() >= 3)
