"""The search for the nearest training rows, and means over them.

A row's neighbours are the k nearest training rows and all that are as near as the k-th, so that the features do not
hang on the order of the rows: places on a map repeat, and a search tree would choose among equals as it happens to be
built.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.spatial import KDTree

Matrix = NDArray[np.float32]
LEAF_ROWS = 50  # of the tree: fewer make more nodes, which take memory, and no faster search
CHUNK = 50_000  # rows at a time
MANY_NUMBERS = 1_000_000  # neighbours found at a time, of all rows together
SPARE = 2  # neighbours asked for beyond k, to see that the k-th is the only one at its distance
FARTHEST = float(np.finfo(np.float32).max)
AS_NEAR = 1 + 1e-9  # times the distance of the k-th: sums of squares are rounded, at 1e-16
MANY_ROWS = 10_000  # from which the search for neighbours is worth several threads


@dataclass(frozen=True)
class Places:
    """TrainingRows rows, those at the same place together.

    Attributes
    ----------
    places : array of float32, shape (n_places, n_dimensions)
        Each once.
    rows : array of int, shape (n_places,)
        How many rows are there.
    totals : array of float64, shape (n_values, n_places)
        Sums of what is averaged, without missing values.
    known : array of int32, shape (n_values, n_places)
        How many values were added.
    """

    places: Matrix
    rows: NDArray[np.intp]
    totals: NDArray[np.float64]
    known: NDArray[np.int32]


@dataclass(frozen=True)
class NeighborSearch:
    """The training rows among which a row's neighbours are looked for.

    Attributes
    ----------
    k : int
        How many neighbours, with those that are as near as the k-th; all there are when they are fewer.
    places : array of float32, shape (n_rows, n_dimensions)
        The training rows, sorted, without missing values; each dimension is divided by its standard deviation.
    values : array of float32, shape (n_rows, n_values)
        What is averaged; missing values are left out of the mean.
    """

    k: int
    places: Matrix
    values: Matrix

    def transform(self, places: Matrix) -> Matrix:
        """Compute the means of rows that are not among the training rows.

        Parameters
        ----------
        places : array of float32, shape (n_rows, n_dimensions)

        Returns
        -------
        array of float32, shape (n_rows, n_values + 1)
            The means, and the distance to the farthest of the neighbours; NaN for rows that lack a value.
        """
        out = np.full((len(places), self.values.shape[1] + 1), np.nan, dtype=np.float32)
        for start in range(0, len(places), CHUNK):
            chunk = places[start : start + CHUNK]
            known = np.flatnonzero(~np.isnan(chunk).any(axis=1))
            if len(known) and len(self.places):
                out[start + known] = self._of_places(chunk[known])
        return out

    def _of_places(self, places: Matrix) -> Matrix:
        near = self.distinct
        k, asked = min(self.k, len(self.places)), min(self.k + SPARE, len(near.rows))
        out = np.empty((len(places), self.values.shape[1] + 1), dtype=np.float32)
        left = np.arange(len(places))
        while len(left):
            unsure = []
            for rows in np.array_split(left, -(-len(left) * asked // MANY_NUMBERS)):
                workers = -1 if len(rows) >= MANY_ROWS else 1
                distances, found = self._tree.query(
                    places[rows] / self.scale, k=np.arange(1, asked + 1), workers=workers
                )
                kth = (np.cumsum(near.rows[found], axis=1) >= k).argmax(axis=1)
                radius = distances[np.arange(len(rows)), kth]
                within = distances <= radius[:, None] * AS_NEAR
                means = [
                    _mean(np.where(within, total[found], 0), np.where(within, known[found], 0))
                    for total, known in zip(near.totals, near.known, strict=True)
                ]
                # By a deviation of almost nothing a row can be farther away than 32 bits can say.
                out[rows] = np.column_stack([*means, np.minimum(radius, FARTHEST).astype(np.float32)])
                unsure.append(rows[within[:, -1]])
            left = np.concatenate(unsure) if asked < len(near.rows) else np.empty(0, dtype=np.intp)
            asked = min(2 * asked, len(near.rows))
        return out

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """What each dimension is divided by."""
        deviation = self.places.std(axis=0, dtype=np.float64) if len(self.places) else np.ones(self.places.shape[1])
        return np.where(deviation > 0, deviation, 1.0)

    @cached_property
    def distinct(self) -> "Places":
        """The training rows by place."""
        first = np.ones(len(self.places), dtype=bool)
        first[1:] = (self.places[1:] != self.places[:-1]).any(axis=1)
        starts = np.flatnonzero(first)
        known = ~np.isnan(self.values.T)
        totals = np.add.reduceat(np.where(known, self.values.T, np.float32(0)), starts, axis=1, dtype=np.float64)
        counts = np.add.reduceat(known, starts, axis=1, dtype=np.int32)
        return Places(self.places[starts], np.diff(starts, append=len(self.places)), totals, counts)

    @cached_property
    def _tree(self) -> "KDTree":
        from scipy.spatial import KDTree

        return KDTree(self.distinct.places / self.scale, leafsize=LEAF_ROWS)


def _mean(totals: NDArray[np.float64], counts: NDArray[np.int32]) -> Matrix:
    """Return each row's sum of totals by its sum of counts; NaN where nothing is counted."""
    total, count = totals.sum(axis=1), counts.sum(axis=1)
    mean: Matrix = np.full(len(total), np.nan, dtype=np.float32)
    np.divide(total, count, out=mean, where=count > 0, casting="same_kind")
    return mean
