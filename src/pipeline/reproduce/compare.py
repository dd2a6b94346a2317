"""What differs between a training and its repetition."""

import math
import textwrap
from collections.abc import Mapping

from pipeline.reproduce.original import Result
from pipeline.support.text import aligned

Difference = tuple[str, str, str]  # what, before, now
ABSENT = "-"


def differences(before: Result, now: Result) -> list[Difference]:
    """Return the metrics and hashes that are not exactly the same."""
    metrics = [
        (name, _number(before.metrics.get(name)), _number(now.metrics.get(name)))
        for name in sorted(before.metrics.keys() | now.metrics.keys())
        if not _same(before.metrics.get(name), now.metrics.get(name))
    ]
    return metrics + _of_texts(before.hashes, now.hashes)


def package_differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """Return the packages that are not installed in the same version."""
    return _of_texts(before, now)


def table(header: Difference, rows: list[Difference]) -> str:
    """Return rows as aligned columns."""
    return textwrap.indent(aligned([header, *rows]), "  ")


def _of_texts(before: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    return [
        (name, before.get(name, ABSENT), now.get(name, ABSENT))
        for name in sorted(before.keys() | now.keys(), key=str.lower)
        if before.get(name) != now.get(name)
    ]


def _same(before: float | None, now: float | None) -> bool:
    if before is None or now is None:
        return before is now
    return before == now or (math.isnan(before) and math.isnan(now))


def _number(value: float | None) -> str:
    return ABSENT if value is None else repr(value)
