"""Split a table into training and test rows, and training rows into folds."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import TableError
from pipeline.params.schema import DatasetParams
from pipeline.support.section import short_repr

Rows = NDArray[np.intp]
STRATA = 10
RowName = Callable[[int], str]


def split_rows(
    rows: Rows, values: pd.Series | None, params: DatasetParams, row_name: RowName = lambda row: f"row {row + 1}"
) -> tuple[Rows, Rows]:
    """Return the training and test rows of a table, split by ``dataset.split``.

    Which rows are drawn depends on their positions in the table, by a counter-based random generator: not on how the
    table is cut into parts, and little on rows that are added below.

    Parameters
    ----------
    rows : array of int, shape (n_rows,)
        Positions of the rows in the table, in ascending order.
    values : Series, shape (n_rows,), optional
        The column that decides, for all strategies but ``random``: `split_column`.
    row_name : callable, optional
        Returns how a message names the row at a position.

    Returns
    -------
    train, test : arrays of int
        Some of `rows` each, in ascending order; sorted by time for the strategy ``time``.

    Raises
    ------
    TableError
        When there are too few rows, groups or rows of a stratum, or a time is invalid.
    """
    split, n_rows = params.split, len(rows)
    n_test = int(np.ceil(n_rows * split.test_size))
    if min(n_test, n_rows - n_test) < 2:
        raise TableError(
            f"{params.path} has {n_rows} usable rows: with split.test_size {split.test_size} the split into "
            f"{max(n_rows - n_test, 0)} training and {n_test} test rows leaves fewer than 2 on one side",
            "add rows, or change dataset.split.test_size in params.yaml",
        )
    if values is None:
        is_test = lowest(random_numbers(rows, split.seed), n_test)
    elif split.strategy == "time":
        order = rows[np.argsort(times(values, params, row_name), kind="stable")]
        return order[: n_rows - n_test], order[n_rows - n_test :]
    elif split.strategy == "group":
        is_test = _draw_groups(random_numbers(rows, split.seed), groups_of(values), params)
    else:
        is_test = _draw_strata(random_numbers(rows, split.seed), *strata_of(values), n_test, params)
    return rows[~is_test], rows[is_test]


def split_column(params: DatasetParams) -> str | None:
    """Return the column whose values decide how rows are split; None if only their positions do."""
    if params.split.strategy == "random":
        return None
    return params.split.column or params.target


def random_numbers(rows: Rows, seed: int) -> NDArray[np.uint64]:
    """Return a random number for each row, which depends only on its position and the seed."""
    n_rows = int(rows[-1]) + 1 if len(rows) else 0
    return np.asarray(np.random.Philox(key=seed).random_raw(n_rows), dtype=np.uint64)[rows]


def lowest(numbers: NDArray[np.uint64], n: int) -> NDArray[np.bool_]:
    """Return which are the `n` lowest numbers; of equal ones, the first are."""
    if not n:
        return np.zeros(len(numbers), dtype=np.bool_)
    nth = np.partition(numbers, n - 1)[n - 1]
    is_lowest: NDArray[np.bool_] = numbers < nth
    is_lowest[np.flatnonzero(numbers == nth)[: n - is_lowest.sum()]] = True
    return is_lowest


def _draw_groups(numbers: NDArray[np.uint64], groups: Rows, params: DatasetParams) -> NDArray[np.bool_]:
    """Return the rows of the test groups; a group's random number is that of its first row."""
    n_groups = int(groups.max()) + 1
    if n_groups == 1:
        raise TableError(
            f"{params.path}: column {params.split.column!r} has only one group",
            "split by a column with two or more groups",
        )
    n_test = int(np.ceil(n_groups * params.split.test_size))
    if n_test == n_groups:
        raise TableError(
            f"{params.path} cannot be split by {params.split.column!r}: with split.test_size {params.split.test_size}, "
            f"all {n_groups} groups are test rows",
            "change dataset.split.test_size",
        )
    _, first_rows = np.unique(groups, return_index=True)
    is_test = lowest(numbers[first_rows], n_test)[groups]
    if min(is_test.sum(), (~is_test).sum()) < 2:
        raise TableError(
            f"{params.path}: the groups of {params.split.column!r} leave {(~is_test).sum()} training and "
            f"{is_test.sum()} test rows",
            "change dataset.split.test_size or its seed, or split by a column with more groups",
        )
    return np.asarray(is_test, dtype=np.bool_)


def _draw_strata(
    numbers: NDArray[np.uint64], codes: Rows, names: Sequence[str], n_test: int, params: DatasetParams
) -> NDArray[np.bool_]:
    """Return the test rows: each stratum's share of `n_test`, rounded so that the sum is exact."""
    counts = np.bincount(codes)
    problem = ""
    if counts.min() < 2:
        problem = f"{names[int(counts.argmin())]} is in only one row"
    elif len(names) > min(n_test, len(codes) - n_test):
        problem = f"there are more different values ({len(names)}) than rows on one side of the split"
    if problem:
        raise TableError(
            f"{params.path} cannot be split by {split_column(params)!r}: {problem}",
            "add rows, merge rare values, or use dataset.split.strategy: random in params.yaml",
        )
    shares = counts * (n_test / len(codes))
    n_drawn = np.floor(shares).astype(np.intp)
    order = np.lexsort((numbers, codes))
    starts = np.cumsum(counts) - counts
    # Among equal fractions, the strata that are rounded up are random too.
    rounded_up = np.lexsort((numbers[order[starts]], n_drawn - shares))[: n_test - n_drawn.sum()]
    n_drawn[rounded_up] += 1
    ranks = np.empty(len(codes), dtype=np.intp)
    ranks[order] = np.arange(len(codes)) - np.repeat(starts, counts)
    return np.asarray(ranks < n_drawn[codes], dtype=np.bool_)


def fold_rows(table: pd.DataFrame, params: DatasetParams, n_folds: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Return the folds of the training rows, split by the same strategy as in `split_rows`.

    A fold is computed when it is needed, as all folds together take much memory on a large table.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        The training rows; only the column that decides is used, if one does.
    n_folds : int
        Number of folds.
    seed : int
        Random seed of the strategies that shuffle.

    Returns
    -------
    iterator of (train, valid), arrays of int
        Positions in `table`. For the strategy ``time``, validation rows always come after training rows.

    Raises
    ------
    TableError
        When there are too few rows, groups or rows of a stratum.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

    strategy = params.split.strategy
    if len(table) < 2 * n_folds:
        raise TableError(
            f"{len(table)} training rows are too few for {n_folds} folds", "add rows, or lower train.cv_folds"
        )
    rows = np.arange(len(table))
    if strategy == "time":
        return iter(TimeSeriesSplit(n_folds).split(rows))
    if strategy == "group":
        groups = groups_of(table[params.split.column])
        if groups.max() + 1 < n_folds:
            raise TableError(
                f"the training rows have {groups.max() + 1} groups of {params.split.column!r}, fewer than "
                f"{n_folds} folds",
                "lower train.cv_folds in params.yaml",
            )
        return iter(GroupKFold(n_folds).split(rows, groups=groups))
    if strategy == "stratified":
        codes, names = strata_of(table[split_column(params)])
        count = np.bincount(codes)
        if count.min() >= n_folds:
            return iter(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(rows, codes))
        raise TableError(
            f"{params.split.column or params.target!r} has a value with {count.min()} training rows "
            f"({names[int(count.argmin())]}), fewer than {n_folds} folds",
            "lower train.cv_folds, raise train.search.max_rows if it leaves too few rows, merge rare values, or use "
            "dataset.split.strategy: random in params.yaml",
        )
    return iter(KFold(n_folds, shuffle=True, random_state=seed).split(rows))


def strata_of(values: pd.Series) -> tuple[Rows, list[str]]:
    """Return each row's stratum as an integer from 0, and the names of the strata.

    A stratum is a value or, for a float column with many values, a decile. The names are sorted.
    """
    if pd.api.types.is_float_dtype(values) and values.nunique() > 2 * STRATA:
        values = pd.qcut(values, STRATA, duplicates="drop")
    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    texts = np.asarray(pd.Series(distinct).astype("str").fillna("missing"), dtype=np.str_)
    names, numbers = np.unique(texts, return_inverse=True)
    return numbers[codes], names.tolist()


def sample_rows(rows: Rows, max_rows: int, seed: int) -> Rows:
    """Return at most `max_rows` of some rows, drawn by their positions; a smaller sample is part of a larger one."""
    return rows if len(rows) <= max_rows else rows[lowest(random_numbers(rows, seed), max_rows)]


def groups_of(values: pd.Series) -> Rows:
    """Return each row's group, as an integer from 0."""
    return np.asarray(pd.factorize(values, use_na_sentinel=False)[0], dtype=np.intp)


def times(column: pd.Series, params: DatasetParams, row_name: RowName) -> NDArray[np.float64]:
    """Return each row's time as a number to sort by.

    Parameters
    ----------
    column : Series
        The index is each row's position in the table.
    params : DatasetParams
    row_name : callable
        Returns how a message names the row at a position.

    Raises
    ------
    TableError
        When a value is missing or is neither a number nor a date.
    """
    if pd.api.types.is_numeric_dtype(column):
        values = column.astype("float64")
    else:
        dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
        values = dates.astype("int64").astype("float64").where(dates.notna())
        if not pd.api.types.is_datetime64_any_dtype(column):
            numbers = pd.to_numeric(column, errors="coerce").astype("float64")
            values = numbers if numbers.notna().sum() > dates.notna().sum() else values
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise TableError(
            f"{params.path}: column {params.split.column!r} has no valid time in {row_name(column.index[row])}: "
            f"{short_repr(str(column.iloc[row]))}",
            "write a number or an ISO 8601 date (2026-01-31), or remove the row",
        )
    return np.asarray(values, dtype=np.float64)
