"""Describe the columns of a prepared table: type, missing values, and range or counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MAX_COUNTS = 50


@dataclass(frozen=True)
class ColumnSummary:
    """The summary of a column in some rows.

    Attributes
    ----------
    dtype : str
    n_rows, n_missing : int
    range : (float, float, float), optional
        Minimum, sum and maximum of a numeric column.
    counts : Series of int, optional
        Number of rows by value, for the first `MAX_COUNTS` values in sorted order.
    """

    dtype: str
    n_rows: int
    n_missing: int
    range: tuple[float, float, float] | None
    counts: pd.Series | None


def summarize(column: pd.Series) -> ColumnSummary:
    """Return the summary of a column."""
    dtype, n_missing = str(column.dtype), int(column.isna().sum())
    if pd.api.types.is_float_dtype(column):
        numbers = (float(column.min()), float(column.sum()), float(column.max()))
        return ColumnSummary(dtype, len(column), n_missing, numbers, None)
    counts = column.value_counts().sort_index(kind="stable").head(MAX_COUNTS)
    return ColumnSummary(dtype, len(column), n_missing, None, counts)


def profile_of(summaries: Sequence[ColumnSummary]) -> dict[str, Any]:
    """Return the profile of a column, given its summaries in all parts: ranges are rounded to six digits."""
    n_missing, n_rows = (sum(getattr(part, name) for part in summaries) for name in ("n_missing", "n_rows"))
    profile: dict[str, Any] = {"type": summaries[0].dtype, "missing": n_missing}
    ranges = [part.range for part in summaries if part.range is not None and part.n_missing < part.n_rows]
    if summaries[0].range is not None:
        statistics: dict[str, Any] = dict.fromkeys(("min", "mean", "max"))
        if ranges:
            lows, sums, highs = zip(*ranges, strict=True)
            values = (min(lows), sum(sums) / (n_rows - n_missing), max(highs))
            statistics |= {
                name: float(f"{value:.6g}")
                for name, value in zip(statistics, values, strict=True)
                if np.isfinite(value)
            }
        return profile | statistics
    counts = pd.concat([part.counts for part in summaries if part.counts is not None])
    merged = counts.groupby(level=0, sort=True).sum().head(MAX_COUNTS)
    return profile | {"counts": {str(value): int(count) for value, count in merged.items()}}
