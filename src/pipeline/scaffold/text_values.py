"""Recognize flawed numbers, hashes and prose in text columns, and format values for messages."""

import re

import pandas as pd

from pipeline.features.columns import as_text, infer_kind

SAMPLE = 500  # different values to check
MAX_COUNTS = 5
MAX_LENGTH = 30

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
