"""The features of rows: a DataFrame in memory, or files that are read in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.tables.split import Rows


@dataclass(frozen=True)
class RowsOnDisk:
    """Features in files, one for each batch of consecutive rows.

    Attributes
    ----------
    files : sequence of Path
        Arrays of float32 as NumPy saves them, shape (n_stored, n_rows): a feature is read without the others.
    starts : array of int
        The position of each file's first row, and at the end the number of rows.
    stored : sequence of str
        Names of the features in the files, in order.
    columns : sequence of str
        Names of the features to read, in order.
    target : Path, optional
        File of the encoded target, as NumPy saves it, for training rows.
    """

    files: Sequence[Path]
    starts: Rows
    stored: Sequence[str]
    columns: Sequence[str]
    target: Path | None = None

    def __len__(self) -> int:
        return int(self.starts[-1])

    def batches(self, start: int = 0, end: int | None = None) -> Iterator[pd.DataFrame]:
        """Yield the features of the rows from `start` to `end`, by default all, file by file."""
        positions = [self.stored.index(name) for name in self.columns]
        end = len(self) if end is None else end
        for file, first, last in zip(self.files, self.starts[:-1], self.starts[1:], strict=True):
            if first < end and last > start:
                rows, stored = slice(max(start - first, 0), end - first), np.load(file, mmap_mode="r")
                values = np.array([stored[position, rows] for position in positions])
                yield pd.DataFrame(values.T, columns=list(self.columns), copy=False)

    def take(self, rows: Rows) -> pd.DataFrame:
        """Return the features of rows by their positions, in this order."""
        out = np.empty((len(rows), len(self.columns)), dtype=np.float32, order="F")
        for batch, start, end in zip(self.batches(), self.starts[:-1], self.starts[1:], strict=True):
            found = np.flatnonzero((rows >= start) & (rows < end))
            out[found] = batch.to_numpy()[rows[found] - start]
        return pd.DataFrame(out, index=rows, columns=list(self.columns), copy=False)


FeatureRows = pd.DataFrame | RowsOnDisk


def select_features(X: FeatureRows, names: Sequence[str]) -> FeatureRows:
    """Return some features of the same rows, without copying their values."""
    if isinstance(X, RowsOnDisk):
        return replace(X, columns=list(names))
    return select_columns(X, names)


def select_columns(X: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return columns of a table without copying them, as ``X[names]`` would."""
    return pd.DataFrame({name: X[name] for name in names}, copy=False)


def take_rows(X: FeatureRows, rows: Rows) -> pd.DataFrame:
    """Return the features of rows by their positions, in this order."""
    return X.take(rows) if isinstance(X, RowsOnDisk) else X.iloc[rows]


def batches(X: FeatureRows) -> Iterator[pd.DataFrame]:
    """Yield the features of all rows in order: of consecutive rows or, in memory, of all rows at once."""
    return X.batches() if isinstance(X, RowsOnDisk) else iter([X])
