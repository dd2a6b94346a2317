"""Give features access to their inputs: raw columns as arrays, and other features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import Kind, Texts, Values, read_column, read_values

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """Raw rows whose columns are read on first use.

    Attributes
    ----------
    n_rows : int
    read : callable
        ``read(column)`` returns the values of a raw column.
    compute : callable, optional
        ``compute(source, names)`` returns features as float32, shape (n_rows, n_features).
    """

    n_rows: int
    read: Callable[[str], Values]
    compute: Callable[["Source", Sequence[str]], Matrix] | None = None
    _columns: dict[str, Values] = field(default_factory=dict)

    @classmethod
    def from_table(cls, rows: pd.DataFrame, kinds: Mapping[str, Kind]) -> Self:
        """Return the source for a table that has at least the columns of `kinds`.

        Numeric and boolean columns are read immediately, so that an invalid value raises even if no feature uses it.
        """
        columns = {name: read_column(rows[name], kind) for name, kind in kinds.items() if kind != "text"}
        return cls(len(rows), lambda name: read_column(rows[name], kinds[name]), _columns=columns)

    @classmethod
    def from_values(cls, columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, Kind]) -> Self:
        """Return the source for validated values, given by column."""
        n_rows = len(next(iter(columns.values())))
        return cls(n_rows, lambda name: read_values(columns[name], kinds[name]))

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a numeric or boolean column, NaN where a value is missing."""
        values = self.values(column)
        assert not isinstance(values, Texts)
        return values

    def texts(self, column: str) -> Texts:
        """Return a text column."""
        values = self.values(column)
        assert isinstance(values, Texts)
        return values

    def features(self, names: Sequence[str]) -> Matrix:
        """Return features of the kinds that precede the caller's in the order of computation."""
        assert self.compute is not None
        return self.compute(self, names)

    def take(self, rows: NDArray[np.intp]) -> "Source":
        """Return a source with only these rows."""
        return Source(len(rows), lambda name: self.values(name)[rows], self.compute)

    def values(self, name: str) -> Values:
        """Return a raw column."""
        if name not in self._columns:
            self._columns[name] = self.read(name)
        return self._columns[name]
