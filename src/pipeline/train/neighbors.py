"""The neighbour features of training rows, learnt so that no row sees its own target or that of a validation row."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.neighbors import Neighborhood, Neighbors, out_of_fold
from pipeline.learn.task import Task
from pipeline.tables.folds import FoldRows

Averaged = NDArray[np.float64]


def averaged_targets(task: Task, target: str, y: NDArray[Any]) -> tuple[list[str], Averaged]:
    """Return what is averaged of the target: its value, or of several labels the share of each.

    Parameters
    ----------
    task : Task
    target : str
        The target's name.
    y : array, shape (n_rows,)
        From `Task.encode`.

    Returns
    -------
    list of str
        Its names.
    array of float64, shape (n_rows,) or (n_rows, n_classes)
    """
    if task.n_classes > 2:
        return [f"{target} {text}" for text in task.texts], np.eye(task.n_classes)[y]
    return [target], y.astype(np.float64)


def features_in_fold(
    X: pd.DataFrame, y: Averaged, fold: FoldRows, what: Neighborhood
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the features of a fold's training rows, each out of fold again, and of its validation rows.

    Parameters
    ----------
    X : DataFrame of float32, shape (n_rows, n_features)
        Of all training rows.
    y : array of float64
        From `averaged_targets`.
    fold : FoldRows
    what : Neighborhood

    Returns
    -------
    DataFrames of float32, shapes (n_train, n_names) and (n_valid, n_names)
    """
    near = Neighbors.fit(X.iloc[fold.train], y[fold.train], what)
    valid = near.transform(X[what.by].iloc[fold.valid].to_numpy())
    train = out_of_fold(X, y, fold.inner, what)[fold.train]
    return pd.DataFrame(train, columns=what.names), pd.DataFrame(valid, columns=what.names)
