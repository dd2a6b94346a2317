"""Split a table into training and test rows, and training rows into folds."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import TableError
from pipeline.params.schema import DatasetParams
from pipeline.support.section import short_repr

Rows = NDArray[np.intp]
STRATA = 10


def split_rows(table: pd.DataFrame, params: DatasetParams) -> tuple[Rows, Rows]:
    """Return the training and test rows of a table, split by ``dataset.split``.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        Contains the target and the split column.

    Returns
    -------
    train, test : arrays of int
        Positions in `table`, sorted; sorted by time for the strategy ``time``.

    Raises
    ------
    TableError
        When there are too few rows, groups or rows of a stratum, or a time is invalid.
    """
    from sklearn.model_selection import GroupShuffleSplit, train_test_split

    split, n_rows = params.split, len(table)
    n_test = int(np.ceil(n_rows * split.test_size))
    if min(n_test, n_rows - n_test) < 2:
        raise TableError(
            f"{params.path} has {n_rows} usable rows: with split.test_size {split.test_size} the split into "
            f"{max(n_rows - n_test, 0)} training and {n_test} test rows leaves fewer than 2 on one side",
            "add rows, or change dataset.split.test_size in params.yaml",
        )
    positions = np.arange(n_rows)
    if split.strategy == "time":
        order = np.argsort(times(table, params), kind="stable")
        return order[: n_rows - n_test], order[n_rows - n_test :]
    if split.strategy == "group":
        groups = groups_of(table, params)
        if groups.max() == 0:
            raise TableError(
                f"{params.path}: column {split.column!r} has only one group",
                "split by a column with two or more groups",
            )
        splitter = GroupShuffleSplit(n_splits=1, test_size=split.test_size, random_state=split.seed)
        try:
            train, test = next(splitter.split(positions, groups=groups))
        except ValueError as error:
            raise TableError(
                f"{params.path} cannot be split by {split.column!r}: {error}", "change dataset.split.test_size"
            ) from None
        if min(len(train), len(test)) < 2:
            raise TableError(
                f"{params.path}: the groups of {split.column!r} leave {len(train)} training and {len(test)} test rows",
                "change dataset.split.test_size or its seed, or split by a column with more groups",
            )
    else:
        strata = strata_of(table, params) if split.strategy == "stratified" else None
        try:
            train, test = train_test_split(positions, test_size=n_test, random_state=split.seed, stratify=strata)
        except ValueError as error:
            raise TableError(
                f"{params.path} cannot be split by {split.column or params.target!r}: {error}",
                "add rows, merge rare values, or use dataset.split.strategy: random in params.yaml",
            ) from None
    return np.sort(train), np.sort(test)


def fold_rows(table: pd.DataFrame, params: DatasetParams, n_folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    """Return the folds of the training rows, split by the same strategy as in `split_rows`.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        The training table.
    n_folds : int
        Number of folds.
    seed : int
        Random seed of the strategies that shuffle.

    Returns
    -------
    list of (train, valid), arrays of int
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
        return list(TimeSeriesSplit(n_folds).split(rows))
    if strategy == "group":
        groups = groups_of(table, params)
        if groups.max() + 1 < n_folds:
            raise TableError(
                f"the training rows have {groups.max() + 1} groups of {params.split.column!r}, fewer than "
                f"{n_folds} folds",
                "lower train.cv_folds in params.yaml",
            )
        return list(GroupKFold(n_folds).split(rows, groups=groups))
    if strategy == "stratified":
        strata = strata_of(table, params)
        rarest, count = np.unique(strata, return_counts=True)
        if count.min() >= n_folds:
            return list(StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(rows, strata))
        raise TableError(
            f"{params.split.column or params.target!r} has a value with {count.min()} training rows "
            f"({rarest[count.argmin()]}), fewer than {n_folds} folds",
            "lower train.cv_folds, raise train.search.max_rows if it leaves too few rows, merge rare values, or use "
            "dataset.split.strategy: random in params.yaml",
        )
    return list(KFold(n_folds, shuffle=True, random_state=seed).split(rows))


def strata_of(table: pd.DataFrame, params: DatasetParams) -> NDArray[np.str_]:
    """Return each row's stratum: its value, or the value's decile for a float column with many values."""
    values = table[params.split.column or params.target]
    if pd.api.types.is_float_dtype(values) and values.nunique() > 2 * STRATA:
        values = pd.qcut(values, STRATA, duplicates="drop")
    return np.asarray(values.astype("str").fillna("missing"), dtype=np.str_)


def groups_of(table: pd.DataFrame, params: DatasetParams) -> Rows:
    """Return each row's group, as an integer from 0."""
    assert params.split.column is not None
    return np.asarray(pd.factorize(table[params.split.column], use_na_sentinel=False)[0], dtype=np.intp)


def times(table: pd.DataFrame, params: DatasetParams) -> NDArray[np.float64]:
    """Return each row's time as a number to sort by.

    Raises
    ------
    TableError
        When a value is missing or is neither a number nor a date.
    """
    assert params.split.column is not None
    column = table[params.split.column]
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
            f"{params.path}: column {params.split.column!r} has no valid time in row {table.index[row] + 1}: "
            f"{short_repr(str(column.iloc[row]))}",
            "write a number or an ISO 8601 date (2026-01-31), or remove the row",
        )
    return np.asarray(values, dtype=np.float64)
