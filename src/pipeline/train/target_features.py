"""Compute features learned from the target so that no row sees its own target or that of a validation row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.kinds import max_target_rows, target_kinds
from pipeline.features.kinds.interface import Target
from pipeline.features.out_of_fold import OutOfFold
from pipeline.features.source import Source
from pipeline.features.transformer import FeatureTransformer
from pipeline.learn.task import Task
from pipeline.params.schema import Params
from pipeline.tables.folds import FoldRows, SearchFolds, table_folds
from pipeline.tables.split import Rows, sample_rows


def target_of(task: Task, name: str, y_train: NDArray[Any], rows: Rows) -> Target:
    """Return the target of rows as features learn from it: its value or, for multiclass, an indicator of each class.

    Parameters
    ----------
    task : Task
    name : str
        The name of the target.
    y_train : array, shape (n_train,)
        From `Task.encode`.
    rows : array of int
        Positions of the rows.
    """
    if task.n_classes > 2:
        counts = np.bincount(y_train, minlength=task.n_classes)
        return Target([f"{name} {text}" for text in task.texts], np.eye(task.n_classes)[y_train[rows]], counts)
    return Target([name], y_train[rows].astype(np.float64))


def rows_to_learn_from(rows: Rows, params: Params) -> Rows:
    """Return the rows that features learn from, of the positions of rows in ascending order: all, a sample or none."""
    if not target_kinds(params.feature_settings):
        return rows[:0]
    limit = max_target_rows(params.feature_settings)
    return rows if limit is None else sample_rows(rows, limit, params.train.seed)


@dataclass(frozen=True)
class LearnedFeatures:
    """The features that are learned from the target.

    Attributes
    ----------
    transformer : FeatureTransformer
        Fitted on all training rows, or on a sample.
    out_of_fold : OutOfFold, optional
        Computes the features of the training rows; None if no feature is learned from the target.
    in_folds : list of (DataFrame, DataFrame) or None
        The features of the training and validation rows of each fold of the search.
    """

    transformer: FeatureTransformer
    out_of_fold: OutOfFold | None
    in_folds: list[tuple[pd.DataFrame, pd.DataFrame] | None]


def learn_from_target(
    transformer: FeatureTransformer,
    rows: pd.DataFrame,
    learned_from: Rows,
    searched: SearchFolds,
    split_table: pd.DataFrame,
    task: Task,
    y_train: NDArray[Any],
    params: Params,
) -> LearnedFeatures:
    """Fit the features that are learned from the target, if there are any.

    Parameters
    ----------
    transformer : FeatureTransformer
        Fitted without them.
    rows : DataFrame
        At least the training rows to learn from and those of the search; the index is their positions.
    learned_from : array of int
        From `rows_to_learn_from`.
    searched : SearchFolds
    split_table : DataFrame, shape (n_rows, n_columns)
        The column that decides the folds of all training rows.
    task : Task
    y_train : array, shape (n_rows,)
    params : Params
    """
    settings = params.feature_settings
    if not target_kinds(settings):
        return LearnedFeatures(transformer, None, [None] * len(searched.folds))
    source = transformer.source(rows.loc[learned_from])
    target = target_of(task, params.dataset.target, y_train, learned_from)
    transformer = transformer.with_target(source, target, settings)
    folds = table_folds(split_table, params)
    out_of_fold = OutOfFold.fit(transformer, source, target, settings, folds, learned_from, len(split_table))
    source = transformer.source(rows.loc[searched.rows])
    target = target_of(task, params.dataset.target, y_train, searched.rows)
    in_folds: list[tuple[pd.DataFrame, pd.DataFrame] | None] = [
        features_in_fold(transformer, source, target, settings, fold, rows_to_learn_from(fold.train, params))
        for fold in searched.folds
    ]
    return LearnedFeatures(transformer, out_of_fold, in_folds)


def features_in_fold(
    transformer: FeatureTransformer,
    source: Source,
    target: Target,
    settings: Mapping[str, Any],
    fold: FoldRows,
    learned_from: Rows,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the target-based features of a fold's training rows, computed out of fold, and of its validation rows.

    Parameters
    ----------
    transformer : FeatureTransformer
        Fitted by `FeatureTransformer.with_target`.
    source : Source
        The rows of the search.
    target : Target
    settings : mapping of str to any
    fold : FoldRows
    learned_from : array of int
        The training rows of the fold that features learn from, from `rows_to_learn_from`.

    Returns
    -------
    DataFrames of float32, shapes (n_train, n_features) and (n_valid, n_features)
    """
    names, rows, values = transformer.target_names, source.take(learned_from), target.take(learned_from)
    valid = transformer.with_target(rows, values, settings).compute(source.take(fold.valid), names)
    out_of_fold = OutOfFold.fit(transformer, rows, values, settings, fold.inner, learned_from, source.n_rows)
    train = out_of_fold.compute(source.take(fold.train), out_of_fold.folds[fold.train], names)
    return pd.DataFrame(train, columns=names), pd.DataFrame(valid, columns=names)
