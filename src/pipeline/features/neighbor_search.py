"""Find the nearest training rows of a row and average values over them.

A row's neighbors are the k nearest training rows and all others at the same distance as the k-th. The features must not
depend on the order of the rows: locations on a map repeat, and a search tree would choose among ties by how it was
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
LEAF_ROWS = 50  # smaller leaves make more nodes, which take memory without making the search faster
CHUNK = 50_000  # rows searched at a time
MAX_NEIGHBORS = 1_000_000  # neighbors found at a time, over all rows
SPARE = 2  # neighbors requested beyond k, enough to see that usually no other is as near as the k-th
MAX_DISTANCE = float(np.finfo(np.float32).max)
TIE_FACTOR = 1 + 1e-9  # distances up to this multiple of the k-th's are ties: sums of squares have errors around 1e-16
MIN_PARALLEL_ROWS = 10_000  # the search uses several threads from this number of rows


@dataclass(frozen=True)
class DistinctPoints:
    """The training rows, grouped by location.

    Attributes
    ----------
    points : array of float32, shape (n_points, n_dimensions)
        Each location once.
    rows : array of int, shape (n_points,)
        Number of rows at the location.
    totals : array of float64, shape (n_values, n_points)
        Sums of the averaged values, without missing ones.
    counts : array of int32, shape (n_values, n_points)
        Number of values in each sum.
    """

    points: Matrix
    rows: NDArray[np.intp]
    totals: NDArray[np.float64]
    counts: NDArray[np.int32]


@dataclass(frozen=True)
class NeighborSearch:
    """A nearest-neighbor search over the training rows.

    Attributes
    ----------
    k : int
        Number of neighbors, not counting ties with the k-th; all rows if there are fewer.
    points : array of float32, shape (n_rows, n_dimensions)
        The training rows, sorted and without missing values, before division by `scale`.
    values : array of float32, shape (n_rows, n_values)
        The values to average; missing ones are left out of the mean.
    """

    k: int
    points: Matrix
    values: Matrix

    def transform(self, points: Matrix) -> Matrix:
        """Compute the means over the neighbors of rows that are not training rows.

        Parameters
        ----------
        points : array of float32, shape (n_rows, n_dimensions)

        Returns
        -------
        array of float32, shape (n_rows, n_values + 1)
            The means, and the distance to the farthest neighbor; NaN for rows with a missing value.
        """
        out = np.full((len(points), self.values.shape[1] + 1), np.nan, dtype=np.float32)
        for start in range(0, len(points), CHUNK):
            chunk = points[start : start + CHUNK]
            complete = np.flatnonzero(~np.isnan(chunk).any(axis=1))
            if len(complete) and len(self.points):
                out[start + complete] = self._transform_complete(chunk[complete])
        return out

    def _transform_complete(self, points: Matrix) -> Matrix:
        distinct = self.distinct
        k, n_neighbors = min(self.k, len(self.points)), min(self.k + SPARE, len(distinct.rows))
        out = np.empty((len(points), self.values.shape[1] + 1), dtype=np.float32)
        pending = np.arange(len(points))
        while len(pending):
            undecided = []
            for rows in np.array_split(pending, -(-len(pending) * n_neighbors // MAX_NEIGHBORS)):
                workers = -1 if len(rows) >= MIN_PARALLEL_ROWS else 1
                distances, neighbors = self._tree.query(
                    points[rows] / self.scale, k=np.arange(1, n_neighbors + 1), workers=workers
                )
                kth = (np.cumsum(distinct.rows[neighbors], axis=1) >= k).argmax(axis=1)
                radius = distances[np.arange(len(rows)), kth]
                within = distances <= radius[:, None] * TIE_FACTOR
                means = [
                    _mean(np.where(within, total[neighbors], 0), np.where(within, count[neighbors], 0))
                    for total, count in zip(distinct.totals, distinct.counts, strict=True)
                ]
                # Divided by a tiny standard deviation, a distance can exceed float32.
                out[rows] = np.column_stack([*means, np.minimum(radius, MAX_DISTANCE).astype(np.float32)])
                undecided.append(rows[within[:, -1]])
            # If the last neighbor found is a tie, there may be more: search these rows again for twice as many.
            pending = np.concatenate(undecided) if n_neighbors < len(distinct.rows) else np.empty(0, dtype=np.intp)
            n_neighbors = min(2 * n_neighbors, len(distinct.rows))
        return out

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """The standard deviation that each dimension is divided by; 1 where it is 0."""
        deviation = self.points.std(axis=0, dtype=np.float64) if len(self.points) else np.ones(self.points.shape[1])
        return np.where(deviation > 0, deviation, 1.0)

    @cached_property
    def distinct(self) -> DistinctPoints:
        """The training rows, grouped by location."""
        is_first = np.ones(len(self.points), dtype=bool)
        is_first[1:] = (self.points[1:] != self.points[:-1]).any(axis=1)
        starts = np.flatnonzero(is_first)
        known = ~np.isnan(self.values.T)
        totals = np.add.reduceat(np.where(known, self.values.T, np.float32(0)), starts, axis=1, dtype=np.float64)
        counts = np.add.reduceat(known, starts, axis=1, dtype=np.int32)
        return DistinctPoints(self.points[starts], np.diff(starts, append=len(self.points)), totals, counts)

    @cached_property
    def _tree(self) -> "KDTree":
        from scipy.spatial import KDTree

        return KDTree(self.distinct.points / self.scale, leafsize=LEAF_ROWS)


def _mean(totals: NDArray[np.float64], counts: NDArray[np.int32]) -> Matrix:
    """Return each row's sum of totals divided by its sum of counts; NaN where the count is 0."""
    total, count = totals.sum(axis=1), counts.sum(axis=1)
    mean: Matrix = np.full(len(total), np.nan, dtype=np.float32)
    np.divide(total, count, out=mean, where=count > 0, casting="same_kind")
    return mean
