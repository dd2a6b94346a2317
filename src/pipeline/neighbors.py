"""Features of a row's surroundings: the target's mean, and means of other features, over the nearest training rows.

Where prices of neighbours say more than any column, as on a map, this is what lets trees see them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.spatial import KDTree

Rows = NDArray[np.intp]
Matrix = NDArray[np.float32]
NEIGHBORS_FILE = "neighbors.npz"  # in a logged model
LEAF_ROWS = 50  # of the tree: fewer make more nodes, which take memory, and no faster search
CHUNK = 50_000  # rows at a time: k numbers a row would be many
MANY_ROWS = 10_000  # from which the search for neighbours is worth several threads


@dataclass(frozen=True)
class Neighborhood:
    """Which neighbours of a row count, and what of them.

    Attributes
    ----------
    k : int
        How many.
    by, means : lists of str
        Features that span the distance, and those that are averaged besides the target.
    names : list of str, length len(means) + 2
        Of the features this gives: the target's mean, those of `means`, and the distance.
    """

    k: int
    by: list[str]
    means: list[str]
    names: list[str]


@dataclass(frozen=True)
class Neighbors:
    """The training rows among which a row's neighbours are looked for.

    Attributes
    ----------
    k : int
        How many neighbours; all there are when they are fewer.
    by : list of str
        Features that span the distance, each divided by its standard deviation over the training rows.
    places : array of float32, shape (n_rows, len(by))
        The training rows that lack none of them.
    values : array of float32, shape (n_rows, n_values)
        What is averaged: the target, then other features; missing values are left out of the mean.
    names : list of str, length n_values + 1
        Of the features this computes.
    """

    k: int
    by: list[str]
    names: list[str]
    places: Matrix
    values: Matrix

    @classmethod
    def fit(cls, X: pd.DataFrame, y: NDArray[np.float64], what: Neighborhood) -> Self:
        """Remember the training rows.

        Parameters
        ----------
        X : DataFrame of float32, shape (n_rows, n_features)
        y : array of float64, shape (n_rows,)
        what : Neighborhood
        """
        places = X[what.by].to_numpy(np.float32)
        known = ~np.isnan(places).any(axis=1)
        values = np.column_stack([y.astype(np.float32), X[what.means].to_numpy(np.float32)])
        return cls(what.k, what.by, what.names, places[known], values[known])

    def transform(self, X: pd.DataFrame) -> Matrix:
        """Compute the features of rows that are not among the training rows.

        Parameters
        ----------
        X : DataFrame of float32, shape (n_rows, n_features)
            With the columns of `by`.

        Returns
        -------
        array of float32, shape (n_rows, n_values + 1)
            The means, and the distance to the farthest of the neighbours; NaN for rows that lack a column of `by`.
        """
        out = np.full((len(X), self.values.shape[1] + 1), np.nan, dtype=np.float32)
        for start in range(0, len(X), CHUNK):
            places = X[self.by].iloc[start : start + CHUNK].to_numpy(np.float32)
            known = np.flatnonzero(~np.isnan(places).any(axis=1))
            if len(known) and len(self.places):
                out[start + known] = self._of_places(places[known])
        return out

    def _of_places(self, places: Matrix) -> Matrix:
        k = np.arange(1, min(self.k, len(self.places)) + 1)
        distances, found = self._tree.query(places / self._scale, k=k, workers=-1 if len(places) >= MANY_ROWS else 1)
        means = [_mean_of_known(column[found]) for column in self.values.T]
        return np.column_stack([*means, distances[:, -1].astype(np.float32)])

    @cached_property
    def _scale(self) -> NDArray[np.float64]:
        deviation = self.places.std(axis=0, dtype=np.float64) if len(self.places) else np.ones(len(self.by))
        return np.where(deviation > 0, deviation, 1.0)

    @cached_property
    def _tree(self) -> "KDTree":
        from scipy.spatial import KDTree

        return KDTree(self.places / self._scale, leafsize=LEAF_ROWS)

    def save(self, path: Path) -> None:
        """Write all that was fitted, as plain arrays."""
        np.savez(
            path, k=self.k, by=np.array(self.by), names=np.array(self.names), places=self.places, values=self.values
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            by, names = ([str(name) for name in stored[key]] for key in ("by", "names"))
            return cls(int(stored["k"]), by, names, stored["places"], stored["values"])


def out_of_fold(
    X: pd.DataFrame, y: NDArray[np.float64], folds: Sequence[tuple[Rows, Rows]], what: Neighborhood
) -> Matrix:
    """Compute the features of training rows from rows of other folds, so that no row sees its own target.

    Parameters
    ----------
    X : DataFrame of float32, shape (n_rows, n_features)
    y : array of float64, shape (n_rows,)
    folds : sequence of (others, rows)
        Positions in `X`; rows that are in no fold, such as the earliest in time, have no neighbours: NaN.
    what : Neighborhood

    Returns
    -------
    array of float32, shape (n_rows, len(what.names))
    """
    out = np.full((len(X), len(what.names)), np.nan, dtype=np.float32)
    for others, rows in folds:
        out[rows] = Neighbors.fit(X.iloc[others], y[others], what).transform(X.iloc[rows])
    return out


def _mean_of_known(values: Matrix) -> Matrix:
    """Return each row's mean without its missing values; NaN where all are missing."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0).sum(axis=1, dtype=np.float64)
    mean: Matrix = np.full(len(values), np.nan, dtype=np.float32)
    np.divide(total, count, out=mean, where=count > 0, casting="same_kind")
    return mean
