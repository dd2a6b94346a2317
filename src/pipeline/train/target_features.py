"""Compute features learned from the target so that no row sees its own target or that of a validation row."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.kinds.interface import Target
from pipeline.features.out_of_fold import out_of_fold
from pipeline.features.source import Source
from pipeline.features.transformer import FeatureTransformer
from pipeline.learn.task import Task
from pipeline.tables.folds import FoldRows


def target_of(task: Task, name: str, y: NDArray[Any]) -> Target:
    """Return the target as features learn from it: its value or, for multiclass, an indicator of each class.

    Parameters
    ----------
    task : Task
    name : str
        The name of the target.
    y : array, shape (n_rows,)
        From `Task.encode`.
    """
    if task.n_classes > 2:
        return Target([f"{name} {text}" for text in task.texts], np.eye(task.n_classes)[y])
    return Target([name], y.astype(np.float64))


def features_in_fold(
    transformer: FeatureTransformer, source: Source, target: Target, settings: Mapping[str, Any], fold: FoldRows
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the target-based features of a fold's training rows, computed out of fold, and of its validation rows.

    Parameters
    ----------
    transformer : FeatureTransformer
        Fitted by `FeatureTransformer.with_target`.
    source : Source
        All training rows.
    target : Target
    settings : mapping of str to any
    fold : FoldRows

    Returns
    -------
    DataFrames of float32, shapes (n_train, n_features) and (n_valid, n_features)
    """
    names = transformer.target_names
    fitted = transformer.with_target(source.take(fold.train), target.take(fold.train), settings)
    valid = fitted.compute(source.take(fold.valid), names)
    train = out_of_fold(transformer, source, target, settings, fold.inner)[fold.train]
    return pd.DataFrame(train, columns=names), pd.DataFrame(valid, columns=names)
