"""What features are computed from: raw columns as arrays, of a table or of validated values, and other features."""

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
    """Rows, each raw column of which is read when it is first asked for.

    Attributes
    ----------
    n_rows : int
    read : callable
        Called with the name of a raw column; returns its values.
    compute : callable, optional
        Called with this and names of features; returns them as float32, shape (n_rows, n_features).
    """

    n_rows: int
    read: Callable[[str], Values]
    compute: Callable[["Source", Sequence[str]], Matrix] | None = None
    _columns: dict[str, Values] = field(default_factory=dict)

    @classmethod
    def of_table(cls, rows: pd.DataFrame, kinds: Mapping[str, Kind]) -> Self:
        """Read a table, with at least the columns of `kinds`.

        Number and boolean columns are read now, so that a value that is neither is refused wherever it is.
        """
        columns = {name: read_column(rows[name], kind) for name, kind in kinds.items() if kind != "text"}
        return cls(len(rows), lambda name: read_column(rows[name], kinds[name]), _columns=columns)

    @classmethod
    def of_values(cls, columns: Mapping[str, Sequence[Any]], kinds: Mapping[str, Kind]) -> Self:
        """Read validated values, column by column."""
        n_rows = len(next(iter(columns.values())))
        return cls(n_rows, lambda name: read_values(columns[name], kinds[name]))

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column of numbers or booleans, NaN where a value is missing."""
        values = self._column(column)
        assert not isinstance(values, Texts)
        return values

    def texts(self, column: str) -> Texts:
        """Return a text column."""
        values = self._column(column)
        assert isinstance(values, Texts)
        return values

    def features(self, names: Sequence[str]) -> Matrix:
        """Return features of the kinds that come before the one that asks."""
        assert self.compute is not None
        return self.compute(self, names)

    def take(self, rows: NDArray[np.intp]) -> "Source":
        """Return some of the rows."""
        return Source(len(rows), lambda name: self._column(name)[rows], self.compute)

    def _column(self, name: str) -> Values:
        if name not in self._columns:
            self._columns[name] = self.read(name)
        return self._columns[name]
