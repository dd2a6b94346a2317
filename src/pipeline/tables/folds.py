"""Split the training rows into folds, for cross-validation and for features that are computed out of fold."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.errors import TableError
from pipeline.features.kinds import target_kinds
from pipeline.params.schema import DatasetParams, Params, SplitParams, TrainParams
from pipeline.tables.split import Rows, fold_rows, split_column, strata_of

TrainTest = tuple[Rows, Rows]  # rows to learn from, and held-out rows


@dataclass(frozen=True)
class FoldRows:
    """A fold of the search and cross-validation, as positions in `SearchFolds.rows`.

    Attributes
    ----------
    train, valid : arrays of int
    inner : list of Division
        The rows of `train` split again, for features that are learned from the target; empty if there are none.
    """

    train: Rows
    valid: Rows
    inner: list[TrainTest]


@dataclass(frozen=True)
class SearchFolds:
    """The rows of the search and cross-validation, and their folds.

    Attributes
    ----------
    rows : array of int
        Positions in the training table, in ascending order: all rows, or a sample of ``search.max_rows``.
    folds : list of FoldRows
    """

    rows: Rows
    folds: list[FoldRows]


def search_folds(table: pd.DataFrame, params: Params) -> SearchFolds:
    """Split the rows of the search into folds by ``dataset.split``, and again within folds if features need it.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        The training table; only the column that decides the split is used.
    params : Params

    Raises
    ------
    TableError
        When there are too few rows, groups or rows of a stratum.
    """
    dataset, train = params.dataset, params.train
    rows = _search_rows(table, dataset, train)
    searched = table.iloc[rows]
    folds = [
        FoldRows(fold, valid, list(_inner(searched, fold, params)) if target_kinds(params.feature_settings) else [])
        for fold, valid in fold_rows(searched, dataset, train.cv_folds, train.seed)
    ]
    return SearchFolds(rows, folds)


def table_folds(table: pd.DataFrame, params: Params) -> Iterator[TrainTest]:
    """Return folds of all training rows for features that are learned from the target.

    Parameters and errors are those of `search_folds`.
    """
    return _inner(table, np.arange(len(table)), params)


def _inner(table: pd.DataFrame, rows: Rows, params: Params) -> Iterator[TrainTest]:
    """Split rows into ``cv_folds - 1`` folds, because the training part of a fold may have one group fewer.

    These folds are not stratified, because a rare stratum may have too few rows.
    """
    dataset, train = params.dataset, params.train
    if dataset.split.strategy == "stratified":
        dataset = dataset.model_copy(update={"split": SplitParams()})
    try:
        divisions = fold_rows(table.iloc[rows], dataset, max(2, train.cv_folds - 1), train.seed)
    except TableError as error:
        keys = ", ".join(f"features.{key}" for key in target_kinds(params.feature_settings))
        raise TableError(
            f"{keys} needs to split the training rows of a fold again: {error.problem}",
            f"remove {keys} from params.yaml, or add rows",
        ) from None
    return ((rows[others], rows[held_out]) for others, held_out in divisions)


def _search_rows(table: pd.DataFrame, dataset: DatasetParams, train: TrainParams) -> Rows:
    """Return the sorted positions of the training rows that the search uses; stratified if the split is."""
    n_rows, max_rows, seed = len(table), train.search.max_rows, train.seed
    if n_rows <= max_rows:
        return np.arange(n_rows)
    if dataset.split.strategy != "stratified":
        return np.sort(np.random.default_rng(seed).choice(n_rows, max_rows, replace=False))
    from sklearn.model_selection import train_test_split

    strata, _ = strata_of(table[split_column(dataset)])
    try:
        drawn, _ = train_test_split(np.arange(n_rows), train_size=max_rows, random_state=seed, stratify=strata)
    except ValueError as error:
        raise TableError(
            f"cannot draw a stratified sample of {max_rows:,} rows for the search: {error}",
            "raise train.search.max_rows, merge rare values, or use dataset.split.strategy: random in params.yaml",
        ) from None
    return np.sort(drawn)
