"""Recognize dates, flawed numbers, hashes and prose in text columns, and format values for messages."""

import itertools
import re
from typing import Literal

import pandas as pd

from pipeline.features.columns import as_text, infer_kind

SAMPLE = 500  # different values to check
MAX_COUNTS = 5
MAX_LENGTH = 30

_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|^\d{4}-\d\d$|\b(?:jan|feb|m|apr|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b", re.I
)
_DATE_FORMATS = (
    *("%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%b %Y", "%b-%y"),
)
_TIME_FORMATS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_DIRECTIVES = {"%Y": r"\d{4}", "%y": r"\d\d", "%b": r"\w+\.?", "%B": r"\w+", "%p": r"\w+", " ": r"\s+", ".": r"\."}
_SHAPES = {  # of the texts that a format may match; parsing them takes a thousand times longer
    text_format: re.compile(re.sub(r"%\w| |\.", lambda part: _DIRECTIVES.get(part[0], r"\s?\d\d?"), text_format))
    for text_format in map("".join, itertools.product(_DATE_FORMATS, _TIME_FORMATS))
}
_STYLED = re.compile(r"[\s$€£¥+-]*(?:\d{1,3}(?:[,.' ]\d{3})+|\d+)(?:[.,]\d+)?\s*[%€$£¥]?")
_HASH = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?=.*\d)(?=.*[a-f])[0-9a-f]{16,}", re.I)


def plain_values(column: pd.Series) -> pd.Series:
    """Return the non-missing values, converted to booleans, numbers or texts where the column type hides them."""
    values = column.dropna()
    if values.dtype == object:
        values = values.infer_objects()
        if infer_kind(values) is None and values.map(lambda value: isinstance(value, bool | str | int | float)).all():
            return as_text(values)
    return values


def format_value(value: object) -> str:
    """Return a value as a short text on one line, for messages and comments."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 2] + "…" + text[-1:]


def format_counts(values: pd.Series) -> str:
    """Return the most frequent values with their numbers of rows, as text."""
    counts = values.value_counts()
    first = [f"{format_value(value)} ({count:,} rows)" for value, count in counts.head(MAX_COUNTS).items()]
    return ", ".join(first) + (", …" if len(counts) > MAX_COUNTS else "")


def date_format(texts: pd.Series) -> Literal["iso", "other"] | None:
    """Return the kind of date format if nearly all texts are dates, else None."""
    sample = texts.drop_duplicates().head(SAMPLE)
    if sample.str.contains(_DATE).mean() < 0.95:
        return None
    if pd.to_datetime(sample, format="ISO8601", errors="coerce", utc=True).notna().mean() >= 0.95:
        return "iso"
    first = sample.iloc[: len(sample) // 20 + 1].tolist()  # if none of them has a format, more than 5 % have not
    for text_format, shape in _SHAPES.items():
        if not any(map(shape.fullmatch, first)):
            continue
        if pd.to_datetime(sample, format=text_format, errors="coerce").notna().mean() >= 0.95:
            return "other"
    return None


def number_flaw(texts: pd.Series) -> str:
    """Return why a column of numbers is read as text; empty if it does not contain numbers."""
    different = pd.Series(texts.unique())
    numbers = different[pd.to_numeric(different, errors="coerce").notna()]
    wrong = texts[~texts.isin(numbers)]
    if len(numbers) > 10 and len(wrong) <= len(texts) / 2:
        if wrong.empty:
            return f"numbers stored as text, such as {format_value(texts.iloc[0])}"
        rows = "1 row" if len(wrong) == 1 else f"{len(wrong):,} rows"
        return f"numbers except in {rows}, such as {format_value(wrong.iloc[0])} in row {wrong.index[0] + 1}"
    if len(different) > 10 and different.str.fullmatch(_STYLED).mean() >= 0.95:
        return f"numbers with characters other than digits and a decimal point, such as {format_value(wrong.iloc[0])}"
    return ""


def are_hashes(texts: pd.Series) -> bool:
    """Return whether all texts are UUIDs or long hexadecimal numbers."""
    return bool(texts.drop_duplicates().head(SAMPLE).str.fullmatch(_HASH).all())


def is_prose(texts: pd.Series) -> bool:
    """Return whether texts are long and have several words."""
    sample = texts.drop_duplicates().head(SAMPLE)
    return bool(sample.str.len().mean() >= MAX_LENGTH and sample.str.count(r"\s+").mean() >= 3)
