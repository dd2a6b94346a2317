"""Find the columns whose values may identify groups of rows that belong together."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import infer_kind
from pipeline.scaffold.columns import ColumnUse
from pipeline.scaffold.quick_fit import class_codes

Rows = NDArray[np.intp]

MIN_VALUES = 20
MIN_REPEATED = 0.2  # share of the rows that share their value with another row
MIN_PRESENT = 0.8
MAX_SHARE = 0.2  # of the rows of one value; a fold without a larger group has too few rows to train on
MIN_SCATTER = 1.1
MAX_SCATTER_ROWS = 20_000


def group_columns(
    table: pd.DataFrame, target: pd.Series, verdicts: Mapping[str, ColumnUse], is_regression: bool
) -> list[str]:
    """Return columns of texts or integers with many values, each in several rows, the most likely first.

    These are identifiers and columns that are dropped for their many values, followed by inputs in which the target
    scatters more between adjacent values than within a value: what measures something changes little from one value
    to the next.
    """
    dropped: list[str] = []
    scatters: dict[str, float] = {}
    partitions: set[bytes] = set()
    rank = np.asarray(target.rank(), dtype=np.float64) if is_regression else class_codes(target)
    rows = np.random.default_rng(0).permutation(len(table))[:MAX_SCATTER_ROWS]
    for name, verdict in verdicts.items():
        column = table[name]
        kind = infer_kind(column)
        split = verdict.alternative_split
        if kind not in ("number", "text") or verdict.is_leak or (split and split.strategy == "time"):
            continue
        if kind == "number":
            numbers = column.to_numpy(np.float64, na_value=np.nan)
            if np.isinf(numbers).any() or (numbers != np.round(numbers))[~np.isnan(numbers)].any():
                continue
        groups = group_codes(column)
        counts = np.bincount(groups)
        if (
            len(counts) < MIN_VALUES
            or counts[counts > 1].sum() < MIN_REPEATED * len(table)
            or counts.max() > MAX_SHARE * len(table)
            or column.notna().mean() < MIN_PRESENT
            or groups.tobytes() in partitions  # groups are numbered in the order of their first rows
        ):
            continue
        if verdict.use == "drop" or split:
            dropped.append(name)
        else:
            scatter = _scatter(group_codes(column.iloc[rows], is_sorted=True), rank[rows])
            if scatter < MIN_SCATTER:
                continue
            scatters[name] = scatter
        partitions.add(groups.tobytes())
    return [*dropped, *sorted(scatters, key=lambda name: -scatters[name])]


def group_codes(column: pd.Series, is_sorted: bool = False) -> Rows:
    """Return each row's group as an integer from 0; missing values are a group."""
    return np.asarray(pd.factorize(column, sort=is_sorted, use_na_sentinel=False)[0], dtype=np.intp)


def sample_groups(groups: Rows, max_rows: int) -> Rows:
    """Return at most `max_rows` rows: of random groups all rows, or equal numbers of large groups."""
    if len(groups) <= max_rows:
        return np.arange(len(groups))
    n_groups = int(groups.max()) + 1
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(groups))
    rows = rows[np.argsort(groups[rows], kind="stable")]
    starts = np.searchsorted(groups[rows], np.arange(n_groups))
    position = np.arange(len(rows)) - starts[groups[rows]]
    rows = rows[position < max(MIN_VALUES, max_rows // n_groups)]
    order = rng.permutation(n_groups)[groups[rows]]
    return np.sort(rows[np.argsort(order, kind="stable")][:max_rows])


def determines_another(table: pd.DataFrame, groups: Rows) -> bool:
    """Return whether another column has one value per group, as what describes a person or thing has."""
    _, first = np.unique(groups, return_index=True)
    for name in table.columns:
        if infer_kind(table[name]) is None:
            continue
        codes = group_codes(table[name])
        counts = np.bincount(codes)
        varies = 2 <= len(counts) < len(first) and counts.max() <= 0.9 * len(codes)
        if varies and (codes == codes[first][groups]).all():
            return True
    return False


def _scatter(groups: Rows, values: NDArray[np.float64]) -> float:
    """Return how much rows with adjacent values differ, as a multiple of the difference of rows with equal values."""
    counts = np.bincount(groups)
    means = np.bincount(groups, values) / counts
    within = ((values - means[groups]) ** 2).sum() / max(len(values) - len(counts), 1)
    if not within:
        return np.inf if np.ptp(means) else 1.0
    weights = np.minimum(counts[1:], counts[:-1])
    between = np.diff(means) ** 2 - within * (1 / counts[1:] + 1 / counts[:-1])
    return float(1 + np.average(between, weights=weights) / (2 * within))
