"""Read dates and times, as text or numbers, and take them apart."""

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Times = NDArray[np.datetime64]
Numbers = NDArray[np.float64]

SECONDS_PER_DAY = 86_400
# Seconds per unit, and the number at the start of 1970; Excel counts days from 1899-12-30.
NUMBER_FORMATS = {"excel": (SECONDS_PER_DAY, 25_569), "unix": (1, 0), "unix_ms": (0.001, 0)}
FIRST, LAST = -62_135_596_800, 253_402_300_799  # the years 1 to 9999, in seconds from 1970
NOW = {"now", "today"}  # which pandas reads as the current time
NANOSECONDS = re.compile(r"(?<=[.,]\d{6})\d+")  # with one of them, pandas reads no year before 1678 or after 2261
OFFSET = re.compile(r":\d\d(?:[.,]\d+)?\s*(Z|([+-])(\d\d):?(\d\d)?)$")  # from UTC, at the end of a time


def read_times(values: Sequence[str] | Numbers, date_format: str, offset: int = 0) -> Times:
    """Return times in seconds; NaT for a value that is missing or not in the format.

    Parameters
    ----------
    values : sequence of str, or array of float
    date_format : str
        ``iso``, ``excel``, ``unix``, ``unix_ms``, or a format of `datetime.strptime`.
    offset : int
        Seconds from UTC. Texts with an offset are converted to it; others are left as they are.
    """
    if date_format in NUMBER_FORMATS:
        unit, origin = NUMBER_FORMATS[date_format]
        numbers = values if isinstance(values, np.ndarray) else _numbers(values)
        seconds = np.round((numbers - origin) * unit)
        return np.where((seconds >= FIRST) & (seconds <= LAST), seconds, np.nan).astype("datetime64[s]")
    texts = _texts(values) if isinstance(values, np.ndarray) else [text.strip() for text in values]
    texts = ["" if text.lower() in NOW else NANOSECONDS.sub("", text) for text in texts]
    parsed = pd.to_datetime(texts, format="ISO8601" if date_format == "iso" else date_format, errors="coerce", utc=True)
    times: Times = parsed.tz_localize(None).to_numpy().astype("datetime64[s]")
    if offset:
        times[[offset_of(text) is not None for text in texts]] += offset
    return times


def common_offset(texts: Sequence[str], date_format: str) -> int:
    """Return the offset from UTC that all texts have, in seconds; 0 if they have none or different ones."""
    if date_format != "iso" and "%z" not in date_format:
        return 0
    offsets = {offset_of(text.strip()) for text in texts}
    return (offsets.pop() or 0) if len(offsets) == 1 else 0


def offset_of(text: str) -> int | None:
    """Return the offset from UTC at the end of a time, in seconds; None without one.

    Examples
    --------
    >>> offset_of("2026-01-31T14:05+02:00"), offset_of("2026-01-31 14:05:00Z"), offset_of("2026-01-31")
    (7200, 0, None)
    """
    match = OFFSET.search(text)
    if match is None:
        return None
    sign, hours, minutes = match.group(2, 3, 4)
    return 0 if sign is None else int(f"{sign}1") * (3600 * int(hours) + 60 * int(minutes or 0))


def _day_of_year(times: Times) -> Numbers:
    return _whole(times, "D") - _whole(times.astype("datetime64[Y]"), "D")


def _whole(times: Times, unit: str) -> Numbers:
    """Return the whole units from the start of 1970."""
    return times.astype(f"datetime64[{unit}]").astype(np.int64).astype(np.float64)


# The parts of a time, each a function of times that are not missing; weekday 0 is Monday.
PARTS: dict[str, Callable[[Times], Numbers]] = {
    "year": lambda times: _whole(times, "Y") + 1970,
    "month": lambda times: _whole(times, "M") % 12 + 1,
    "day": lambda times: _whole(times, "D") - _whole(times.astype("datetime64[M]"), "D") + 1,
    "weekday": lambda times: (_whole(times, "D") + 3) % 7,
    "hour": lambda times: _whole(times, "s") % SECONDS_PER_DAY / 3600,
    "day_of_year_sin": lambda times: np.sin(2 * np.pi * _day_of_year(times) / 365.25),
    "day_of_year_cos": lambda times: np.cos(2 * np.pi * _day_of_year(times) / 365.25),
    "elapsed_days": lambda times: _whole(times, "s") / SECONDS_PER_DAY,
}


def varying_parts(times: Times) -> list[str]:
    """Return the names of the `PARTS` that differ between times."""
    present = times[~np.isnat(times)]
    return [name for name, part in PARTS.items() if len(np.unique(part(present))) > 1]


def part_of(times: Times, name: str) -> Numbers:
    """Return one of the `PARTS` of times, NaN where a time is missing."""
    missing = np.isnat(times)
    return np.where(missing, np.nan, PARTS[name](np.where(missing, np.datetime64(0, "s"), times)))


def _numbers(texts: Sequence[str]) -> Numbers:
    return np.asarray(pd.to_numeric(pd.Series(texts), errors="coerce"), dtype=np.float64)


def _texts(numbers: Numbers) -> list[str]:
    """Write whole numbers as text: 20260131."""
    return [f"{number:.0f}" if number.is_integer() else "" for number in numbers.tolist()]
