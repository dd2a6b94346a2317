"""Folds of the training rows, computed once: all that is learnt out of fold gets them as arrays of positions."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.errors import TableError
from pipeline.features.kinds import target_kinds
from pipeline.params.schema import DatasetParams, Params, SplitParams, TrainParams
from pipeline.tables.split import Rows, fold_rows, strata_of

Division = tuple[Rows, Rows]  # rows to learn from, and rows that get what was learnt


@dataclass(frozen=True)
class FoldRows:
    """A fold of the search and cross-validation, as positions in the training table.

    Attributes
    ----------
    train, valid : arrays of int
    inner : list of Division
        The rows of `train` divided again, for features that are learnt from the target; empty unless there are such.
    """

    train: Rows
    valid: Rows
    inner: list[Division]


@dataclass(frozen=True)
class Folds:
    """All divisions of a training table.

    Attributes
    ----------
    searched : list of FoldRows
        Over all training rows, or over ``search.max_rows`` of them.
    table : list of Division
        Of all training rows, for features that are learnt from the target; empty unless there are such.
    """

    searched: list[FoldRows]
    table: list[Division]


def folds_of(table: pd.DataFrame, params: Params) -> Folds:
    """Divide the training rows by ``dataset.split`` into folds, and into those within folds that features need.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        The training table.
    params : Params

    Raises
    ------
    TableError
        When there are too few rows, groups or rows of a stratum.
    """
    dataset, train, learns = params.dataset, params.train, target_kinds(params.feature_settings)
    rows = _search_rows(table, dataset, train)
    searched = [
        (rows[fold], rows[valid]) for fold, valid in fold_rows(table.iloc[rows], dataset, train.cv_folds, train.seed)
    ]
    return Folds(
        searched=[FoldRows(fold, valid, _inner(table, fold, params) if learns else []) for fold, valid in searched],
        table=_inner(table, np.arange(len(table)), params) if learns else [],
    )


def _inner(table: pd.DataFrame, rows: Rows, params: Params) -> list[Division]:
    """Divide some rows into one fold less: a fold's own training rows may be too few, or of too few groups, for more.

    Rows of a rare stratum need not be in every one of these.
    """
    dataset, train = params.dataset, params.train
    if dataset.split.strategy == "stratified":
        dataset = dataset.model_copy(update={"split": SplitParams()})
    try:
        divisions = fold_rows(table.iloc[rows], dataset, max(2, train.cv_folds - 1), train.seed)
    except TableError as error:
        keys = ", ".join(f"features.{key}" for key in target_kinds(params.feature_settings))
        raise TableError(
            f"{keys} divides the training rows of a fold into folds again: {error.problem}",
            f"remove {keys} from params.yaml, or add rows",
        ) from None
    return [(rows[others], rows[held_out]) for others, held_out in divisions]


def _search_rows(table: pd.DataFrame, dataset: DatasetParams, train: TrainParams) -> Rows:
    """Return the positions of the training rows that the search sees, in order; where folds have strata, so has it."""
    n_rows, max_rows, seed = len(table), train.search.max_rows, train.seed
    if n_rows <= max_rows:
        return np.arange(n_rows)
    if dataset.split.strategy != "stratified":
        return np.sort(np.random.default_rng(seed).choice(n_rows, max_rows, replace=False))
    from sklearn.model_selection import train_test_split

    try:
        drawn, _ = train_test_split(
            np.arange(n_rows), train_size=max_rows, random_state=seed, stratify=strata_of(table, dataset)
        )
    except ValueError as error:
        raise TableError(
            f"no {max_rows:,} rows that have every label can be drawn for the search: {error}",
            "raise train.search.max_rows, join rare values, or use dataset.split.strategy: random in params.yaml",
        ) from None
    return np.sort(drawn)
