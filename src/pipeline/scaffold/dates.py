"""Recognize columns with dates and times, as text or numbers, and find their format."""

import calendar
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.dates import Times, read_times
from pipeline.params.schema import is_date_format
from pipeline.scaffold import column_names

SAMPLE = 500  # different values to check
NEARLY_ALL = 0.95
MIN_NUMBERS = 5  # different values, for numbers that may be days as Excel counts them
_WORDS = {
    name.lower(): directive
    for names, directive in (
        (calendar.month_name[1:], "%B"),
        (calendar.month_abbr[1:], "%b"),
        (calendar.day_name, "%A"),
        (calendar.day_abbr, "%a"),
        (("AM", "PM"), "%p"),
    )
    for name in names
} | {word: word.upper() for word in ("t", "z", "utc", "gmt")}
_ISO = re.compile(r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d.*)?)?")
_TIME = re.compile(r"(?<!\d)\d{1,2}:\d\d(?P<seconds>:\d\d(?P<fraction>\.\d+)?)?(?P<offset>\s*[+-]\d\d:?\d\d$)?")
_TOKENS = re.compile(r"%\w|[A-Za-z]+|\d+|[^A-Za-z\d%]+")
# Formats of dates written with digits only.
_COMPACT = {"0" * 8: "%Y%m%d", "0" * 12: "%Y%m%d%H%M", "0" * 14: "%Y%m%d%H%M%S"}
# What the numbers of a date may be, by whether its month is a word, and by how many there are.
_ORDERS: dict[tuple[bool, int], list[tuple[str, ...]]] = {
    (False, 3): [("%d", "%m", "%Y"), ("%m", "%d", "%Y"), ("%Y", "%m", "%d")],
    (False, 2): [("%m", "%Y"), ("%Y", "%m")],
    (True, 2): [("%d", "%Y"), ("%Y", "%d")],
    (True, 1): [("%Y",)],
}


@dataclass(frozen=True)
class DateFormat:
    """The format of a column.

    Attributes
    ----------
    name : str
        As in `FeaturesParams.dates`.
    note : str
        What the user must know, or empty.
    """

    name: str
    note: str = ""

    @property
    def is_sortable(self) -> bool:
        """Whether a split by time can read it: numbers or ISO 8601."""
        return "%" not in self.name or self.name in _COMPACT.values()


def date_format(texts: pd.Series) -> DateFormat | None:
    """Return the format of texts if nearly all are dates, else None.

    Of several possible formats, it is the one that reads the most texts. If days and months may be confused, days do
    not vary, months come first between slashes, and days otherwise.
    """
    sample = texts.drop_duplicates().head(SAMPLE).str.strip()
    if sample.str.fullmatch(_ISO).mean() >= NEARLY_ALL and _share(sample, "iso") >= NEARLY_ALL:
        return DateFormat("iso")
    few = sample.head(len(sample) // 20 + 1)  # if none of them is a date, more than 5 % are not
    if not any(map(_pattern, few)):
        return None
    pattern, _ = Counter(map(_pattern, sample)).most_common(1)[0]
    shares = {name: _share(sample, name) for name in _formats(pattern)}
    best = [name for name, share in shares.items() if share == max(shares.values()) >= NEARLY_ALL]
    best = [name for name in best if not re.search("(?s)%y.*%d", name)] or best
    if len(best) < 2:
        return DateFormat(best[0]) if best else None
    constant = [name for name in best if len(np.unique(_days(read_times(sample.tolist(), name)))) == 1]
    chosen, other = sorted(best, key=lambda name: name not in constant)
    first = "day" if chosen.index("%d") < chosen.index("%m") else "month"
    return DateFormat(chosen, f"read with the {first} first; if that is wrong, write {other} in features.dates")


def number_date_format(numbers: NDArray[np.float64], name: str) -> DateFormat | None:
    """Return the format of numbers if they are dates, by the name of the column and their range.

    They are dates such as 20260131 or 202601, Unix times in s or ms of the years 1990 to 2060, or days as Excel counts
    them, of the years 1954 to 2064.
    """
    if not column_names.is_time_name(name):
        return None
    low, high = numbers.min(), numbers.max()
    for unit, unix in ((1, "unix"), (1000, "unix_ms")):
        if low >= 631e6 * unit and high <= 2871e6 * unit:
            return DateFormat(unix)
    distinct = np.unique(numbers)
    for first, last, compact in ((19000101, 21001231, "%Y%m%d"), (190001, 210012, "%Y%m")):
        if low >= first and high <= last and not np.isnat(read_times(distinct, compact)).any():
            return DateFormat(compact)
    if low >= 20_000 and high <= 60_000 and len(distinct) >= MIN_NUMBERS and column_names.is_date_name(name):
        return DateFormat("excel")
    return None


def unreadable(texts: pd.Series, name: str) -> str:
    """Return a note on texts that are not dates in a format, or an empty text."""
    distinct = texts.drop_duplicates()
    wrong = texts[texts.isin(distinct[np.isnat(read_times(distinct.tolist(), name))])]
    if wrong.empty:
        return ""
    return f"{len(wrong):,} values are not dates in this format and count as missing, such as {wrong.iloc[0]!r}"


def _pattern(text: str) -> str:
    """Return a text with directives for its words and its time and 0 for other digits; empty if it is not a date.

    Examples
    --------
    >>> _pattern("Tue, 31-Jan-2026 14:05")
    '%a, 00-%b-0000 %H:%M'
    """
    time = _TIME.search(text)
    if time:
        is_short = re.search("[ap]m", text, re.IGNORECASE)
        directives = f"{'%I' if is_short else '%H'}:%M{':%S' if time['seconds'] else ''}"
        directives += ".%f" if time["fraction"] else ""
        if time["offset"]:
            directives += f"{' ' if time['offset'][0].isspace() else ''}%z"
        text = f"{text[: time.start()]}{directives}{text[time.end() :]}"
    tokens = map(_directive, _TOKENS.findall(text))
    pattern = "".join(tokens)
    return "" if "?" in pattern else pattern


def _directive(token: str) -> str:
    """Return the directive of a word, the digit 0 for each digit, and other characters as they are."""
    if token[0].isalpha():
        return _WORDS.get(token.lower(), "?")
    return "0" * len(token) if token.isdigit() else token


def _formats(pattern: str) -> list[str]:
    """Return the possible formats of texts with a pattern, those with the usual order first."""
    tokens = _TOKENS.findall(pattern)
    places = [place for place, token in enumerate(tokens) if token.isdigit()]
    lengths = [len(tokens[place]) for place in places]
    if len(tokens) == 1 and pattern in _COMPACT:
        return [_COMPACT[pattern]]
    orders = _ORDERS.get(("%b" in tokens or "%B" in tokens, len(places)), [])
    if "/" in tokens:
        orders = sorted(orders, key=lambda order: order[0] != "%m")
    formats = []
    for order in orders:
        has_century = lengths[order.index("%Y")] == 4
        if max(lengths) in (1, 2, 4) and (has_century or "%d" in order or len(order) == 1):
            parts = ("%y" if part == "%Y" and not has_century else part for part in order)
            named = dict(zip(places, parts, strict=True))
            formats.append("".join(named.get(place, token) for place, token in enumerate(tokens)))
    return [name for name in formats if is_date_format(name)]


def _share(texts: pd.Series, name: str) -> float:
    return 1 - float(np.isnat(read_times(texts.tolist(), name)).mean())


def _days(times: Times) -> NDArray[np.int64]:
    days = times[~np.isnat(times)].astype("datetime64[D]")
    starts: Times = days.astype("datetime64[M]").astype("datetime64[D]")
    return (days - starts).astype(np.int64)
