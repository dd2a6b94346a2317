"""The data that models are fitted and tested on: features, targets and folds."""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd
from numpy.typing import NDArray

from pipeline.learn.learner import FoldTables
from pipeline.learn.task import Task
from pipeline.tables.split import Rows
from pipeline.train.feature_rows import FeatureRows, select_columns, select_features

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler


@dataclass(frozen=True)
class SearchFold:
    """A fold of the search and cross-validation.

    Attributes
    ----------
    train, valid : arrays of int
        Positions in the rows of the search.
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
    X_train, X_test : FeatureRows of float32, shapes (n_train, n_features) and (n_test, n_features)
        Features of a training row that are learned from the target are computed out of fold.
    y_train, y_test : arrays of float64 or, for classification, of class numbers; shapes (n_train,) and (n_test,)
    X_search, y_search : DataFrame and array, shapes (n_search, n_features) and (n_search,)
        The training rows of the search and cross-validation: all, or a sample of ``search.max_rows``.
    folds : sequence of SearchFold
    scaler : StandardScaler
        With the mean and standard deviation of every feature, in order.
    """

    task: Task
    X_train: FeatureRows
    X_test: FeatureRows
    y_train: NDArray[Any]
    y_test: NDArray[Any]
    X_search: pd.DataFrame
    y_search: NDArray[Any]
    folds: Sequence[SearchFold]
    scaler: "StandardScaler"

    @property
    def features(self) -> list[str]:
        """The names of the features, in order."""
        return [str(name) for name in self.X_search.columns]

    @property
    def n_search_rows(self) -> int:
        """The number of training rows that the search and cross-validation use."""
        return len(self.y_search)

    def only(self, features: Sequence[str]) -> "TrainingData":
        """Return the same rows with only the given features, without copying their values."""
        return replace(
            self,
            X_train=select_features(self.X_train, features),
            X_test=select_features(self.X_test, features),
            X_search=select_columns(self.X_search, features),
            scaler=_scaler_of(self.scaler, features),
        )

    def fold_tables(self) -> Iterator[FoldTables]:
        """Yield the features and targets of one fold after another."""
        for fold in self.folds:
            parts = [self.X_search.iloc[fold.train], self.X_search.iloc[fold.valid]]
            for part, target_features in zip(parts, fold.target_features or (), strict=False):
                names = [name for name in self.features if name in target_features]
                part[names] = target_features[names].to_numpy()
            yield parts[0], self.y_search[fold.train], parts[1], self.y_search[fold.valid]


def _scaler_of(scaler: "StandardScaler", features: Sequence[str]) -> "StandardScaler":
    """Return the scaler for a subset of the features."""
    positions = [list(scaler.feature_names_in_).index(name) for name in features]
    subset = copy(scaler)
    for name in ("mean_", "var_", "scale_", "feature_names_in_"):
        setattr(subset, name, getattr(scaler, name)[positions])
    subset.n_features_in_ = len(positions)
    return subset
