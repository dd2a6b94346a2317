"""The data that models are fitted and tested on: features, targets and folds."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.learn.learner import FoldTables
from pipeline.learn.task import Task
from pipeline.tables.split import Rows

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler


@dataclass(frozen=True)
class SearchFold:
    """A fold of the search and cross-validation.

    Attributes
    ----------
    train, valid : arrays of int
        Positions in the training rows.
    target_features : (DataFrame, DataFrame), optional
        The features of these rows that are learned from the target, using only the targets of `train`.
    """

    train: Rows
    valid: Rows
    target_features: tuple[pd.DataFrame, pd.DataFrame] | None


@dataclass(frozen=True)
class TrainingData:
    """Features, targets and folds.

    Attributes
    ----------
    task : Task
    X_train, X_test : DataFrames of float32, shapes (n_train, n_features) and (n_test, n_features)
        Features of a training row that are learned from the target are computed out of fold.
    y_train, y_test : arrays of float64 or, for classification, of class numbers; shapes (n_train,) and (n_test,)
    folds : sequence of SearchFold
        Folds of all training rows, or of a sample of ``search.max_rows`` of them.
    scaler : StandardScaler
        With the mean and standard deviation of every feature, in order.
    """

    task: Task
    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: NDArray[Any]
    y_test: NDArray[Any]
    folds: Sequence[SearchFold]
    scaler: "StandardScaler"

    @property
    def features(self) -> list[str]:
        """The names of the features, in order."""
        return [str(name) for name in self.X_train.columns]

    @property
    def n_search_rows(self) -> int:
        """The number of training rows that the search and cross-validation use."""
        return len(np.unique(np.concatenate([np.concatenate([fold.train, fold.valid]) for fold in self.folds])))

    def only(self, features: Sequence[str]) -> "TrainingData":
        """Return the same rows with only the given features, without copying their values."""
        return replace(
            self,
            X_train=_columns(self.X_train, features),
            X_test=_columns(self.X_test, features),
            scaler=_scaler_of(self.scaler, features),
        )

    def fold_tables(self) -> Iterator[FoldTables]:
        """Yield the features and targets of one fold after another."""
        for fold in self.folds:
            parts = [self.X_train.iloc[fold.train], self.X_train.iloc[fold.valid]]
            for part, target_features in zip(parts, fold.target_features or (), strict=False):
                names = [name for name in self.features if name in target_features]
                part[names] = target_features[names].to_numpy()
            yield parts[0], self.y_train[fold.train], parts[1], self.y_train[fold.valid]


def _columns(X: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return columns of a table without copying them, as ``X[names]`` would."""
    return pd.DataFrame({name: X[name] for name in names}, copy=False)


def _scaler_of(scaler: "StandardScaler", features: Sequence[str]) -> "StandardScaler":
    """Return the scaler for a subset of the features."""
    positions = [list(scaler.feature_names_in_).index(name) for name in features]
    subset = copy(scaler)
    for name in ("mean_", "var_", "scale_", "feature_names_in_"):
        setattr(subset, name, getattr(scaler, name)[positions])
    subset.n_features_in_ = len(positions)
    return subset
