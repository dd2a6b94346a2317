"""Compare the results of a training and its reproduction."""

import math
import textwrap
from collections.abc import Mapping

from pipeline.reproduce.original import Result
from pipeline.support.text import align_columns

Difference = tuple[str, str, str]  # name, value before, value now
ABSENT = "-"


def differences(before: Result, now: Result) -> list[Difference]:
    """Return the metrics and hashes that are not exactly equal."""
    metrics = [
        (name, _format_number(before.metrics.get(name)), _format_number(now.metrics.get(name)))
        for name in sorted(before.metrics.keys() | now.metrics.keys())
        if not _are_equal(before.metrics.get(name), now.metrics.get(name))
    ]
    return metrics + _text_differences(before.hashes, now.hashes)


def package_differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    """Return the packages whose installed versions differ."""
    return _text_differences(before, now)


def table(header: Difference, rows: list[Difference]) -> str:
    """Return rows as aligned columns."""
    return textwrap.indent(align_columns([header, *rows]), "  ")


def _text_differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    return [
        (name, before.get(name, ABSENT), now.get(name, ABSENT))
        for name in sorted(before.keys() | now.keys(), key=str.lower)
        if before.get(name) != now.get(name)
    ]


def _are_equal(before: float | None, now: float | None) -> bool:
    if before is None or now is None:
        return before is now
    return before == now or (math.isnan(before) and math.isnan(now))


def _format_number(value: float | None) -> str:
    return ABSENT if value is None else repr(value)
