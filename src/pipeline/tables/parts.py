"""Read a table in parts, so that a table larger than memory can be prepared."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import TableError
from pipeline.tables.column_types import ColumnType, Types, column_types, merge_types, with_types
from pipeline.tables.csv_files import read_csv
from pipeline.tables.files import is_parquet, table_files
from pipeline.tables.parquet_files import group_types, read_group, read_parquet, read_parts
from pipeline.tables.sizes import rows_per_part
from pipeline.tables.split import Rows


@dataclass(frozen=True)
class Part:
    """Some consecutive rows of one file.

    Attributes
    ----------
    file : Path
        The file of the user.
    start : int
        Position of its first row in that file.
    n_rows : int
    load : callable
        Returns the rows, with data types that may differ from those of other parts.
    types : dict of str to ColumnType
    """

    file: Path
    start: int
    n_rows: int
    load: Callable[[], pd.DataFrame]
    types: dict[str, ColumnType]


@dataclass(frozen=True)
class PartedTable:
    """A table in parts.

    Attributes
    ----------
    parts : sequence of Part
        In the order of the rows.
    types : dict
        Data type of each column of the whole table, in order.
    """

    parts: Sequence[Part]
    types: Types

    @cached_property
    def starts(self) -> list[int]:
        """The position of each part's first row in the table, and at the end the number of rows."""
        return [0, *np.cumsum([part.n_rows for part in self.parts]).tolist()]

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.starts[-1]

    def read(self, number: int) -> pd.DataFrame:
        """Return the rows of a part, with the data types of the whole table and their positions in it as index."""
        table: pd.DataFrame = with_types(self.parts[number].load(), self.types)
        table.index = pd.RangeIndex(self.starts[number], self.starts[number + 1])
        return table

    def take(self, rows: Rows) -> pd.DataFrame:
        """Return rows by their positions in the table, in this order."""
        numbers = np.searchsorted(self.starts, rows, side="right") - 1
        tables = [
            self.read(number).iloc[rows[numbers == number] - self.starts[number]] for number in np.unique(numbers)
        ]
        table: pd.DataFrame = tables[0] if len(tables) == 1 else pd.concat(tables)
        return table if table.index.equals(pd.Index(rows)) else table.loc[rows]

    def row_name(self, row: int) -> str:
        """Return how messages name a row: its number, and its file if there are several."""
        number = bisect_right(self.starts, row) - 1
        part = self.parts[number]
        name = f"row {row - self.starts[number] + part.start + 1}"
        return name if len({part.file for part in self.parts}) == 1 else f"{name} of {part.file}"


def open_parts(path: Path, text_columns: Sequence[str], temporary: Path) -> PartedTable:
    """Return a table in parts.

    A CSV file of more than one part is copied to Parquet, as a CSV file can only be read from its start.

    Parameters
    ----------
    path : Path
        A CSV or Parquet file, a folder of files, or a pattern.
    text_columns : sequence of str
        Columns of CSV files to read as text, such as codes with leading zeros.
    temporary : Path
        Folder for the copies, created if there are any.

    Raises
    ------
    TableError
        When a file is missing or invalid, or files do not have the same columns.
    """
    return _open_parts(path, dict.fromkeys(text_columns, "str"), temporary)


def _open_parts(path: Path, csv_types: dict[str, str], temporary: Path) -> PartedTable:
    """Open a table; open it again where the parts show that a column must be read with another data type."""
    files = table_files(path)
    parts = []
    for number, file in enumerate(files):
        copies = temporary / str(number)
        if is_parquet(file):
            parts += _parquet_parts(file, copies)
        else:
            parts += _csv_parts(file, copies, csv_types, is_single=len(files) == 1)
    _check_columns(parts)
    types, corrections = merge_types([part.types for part in parts])
    if is_parquet(files[0]):
        _check_types(parts, [name for name, dtype in corrections.items() if dtype == "str"])
    elif corrections:
        return _open_parts(path, csv_types | corrections, temporary)
    parts = [part for part in parts if part.n_rows]
    if not parts:
        raise TableError(f"{path} has a header but no rows", "add rows below the header")
    return PartedTable(parts, types)


def _parquet_parts(file: Path, copies: Path) -> list[Part]:
    """Return the row groups of a file as parts; a file with larger ones is copied."""
    groups = group_types(file)
    limit = 2 * rows_per_part(max(len(groups[0][1]), 1))
    if any(n_rows > limit for n_rows, _ in groups):
        return _copied(file, read_parts(file), copies)
    starts = np.cumsum([0, *(n_rows for n_rows, _ in groups)]).tolist()
    return [
        Part(file, starts[number], n_rows, partial(read_group, file, number), types)
        for number, (n_rows, types) in enumerate(groups)
    ]


def _csv_parts(file: Path, copies: Path, types: Mapping[str, str], is_single: bool) -> list[Part]:
    """Return the parts of a CSV file; the only part of a table stays in memory."""
    tables = read_csv(file, types, in_parts=True)
    first = next(tables)
    second = next(tables, None)
    if second is None and is_single:
        return [Part(file, 0, len(first), lambda: first, column_types(first))]
    return _copied(file, chain([first], [] if second is None else [second], tables), copies)


def _copied(file: Path, tables: Iterable[pd.DataFrame], copies: Path) -> list[Part]:
    """Copy tables to Parquet files, one for each part."""
    copies.mkdir(parents=True, exist_ok=True)
    parts: list[Part] = []
    start = 0
    for number, table in enumerate(tables):
        copy = copies / f"{number}.parquet"
        table.to_parquet(copy, index=False, row_group_size=max(len(table), 1))
        parts.append(Part(file, start, len(table), partial(read_parquet, copy), column_types(table)))
        start += len(table)
    return parts


def _check_columns(parts: Sequence[Part]) -> None:
    first = parts[0]
    for part in parts:
        for one, other in ((first, part), (part, first)):
            for name in other.types:
                if name not in one.types:
                    raise TableError(
                        f"{one.file} has no column {name!r}, which {other.file} has",
                        "give all files of a table the same columns",
                    )


def _check_types(parts: Sequence[Part], mixed: Sequence[str]) -> None:
    for name in mixed:
        types = {str(part.types[name].dtype): part.file for part in parts if not part.types[name].is_empty}
        (dtype, file), (other_dtype, other_file), *_ = types.items()
        raise TableError(
            f"column {name!r} has the type {dtype} in {file} and {other_dtype} in {other_file}",
            "write it with the same type in all files",
        )
