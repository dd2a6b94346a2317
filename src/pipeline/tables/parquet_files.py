"""Read Parquet files, whole, by row group or in parts, or raise an error that explains why a file is not one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.errors import TableError
from pipeline.tables.column_types import ColumnType
from pipeline.tables.csv_files import first_line
from pipeline.tables.names import check_names
from pipeline.tables.sizes import rows_per_part

if TYPE_CHECKING:
    from pyarrow import Table
    from pyarrow.parquet import ParquetFile


def read_parquet(path: Path) -> pd.DataFrame:
    """Return the rows of a Parquet file, with the named levels of a pandas index as columns.

    Raises
    ------
    TableError
        When the file is damaged, is not a Parquet file, or repeats a column name.
    """
    with _opened(path) as file:
        return _to_pandas(file.read(), path)


def read_group(path: Path, number: int) -> pd.DataFrame:
    """Return the rows of a row group, as `read_parquet` does."""
    with _opened(path) as file:
        return _to_pandas(file.read_row_group(number, use_threads=False), path)


def read_parts(path: Path) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file in parts, whatever the size of its row groups."""
    from pyarrow import Table

    with _opened(path) as file:
        for batch in file.iter_batches(rows_per_part(file.metadata.num_columns), use_threads=False):
            yield _to_pandas(Table.from_batches([batch]), path)


def group_types(path: Path) -> list[tuple[int, dict[str, ColumnType]]]:
    """Return the number of rows of each row group and its column types, without reading the rows."""
    from pyarrow import types

    with _opened(path) as file:
        schema = file.schema_arrow
        dtypes = _to_pandas(schema.empty_table(), path).dtypes
        empty = {field.name for field in schema if types.is_null(field.type)}
        groups = []
        for number in range(file.metadata.num_row_groups):
            missing = _missing(file, number)
            column_types = {
                str(name): ColumnType(dtype, missing.get(str(name), True), name in empty)
                for name, dtype in dtypes.items()
            }
            groups.append((file.metadata.row_group(number).num_rows, column_types))
    return groups or [(0, {str(name): ColumnType(dtype, False, True) for name, dtype in dtypes.items()})]


def _missing(file: "ParquetFile", number: int) -> dict[str, bool]:
    """Return whether columns of a row group have missing values: by their statistics or, without them, the values.

    Columns of lists or objects are left out.
    """
    group = file.metadata.row_group(number)
    missing = {}
    for place in range(group.num_columns):
        column = group.column(place)
        if column.statistics is not None and column.statistics.has_null_count:
            missing[column.path_in_schema] = bool(column.statistics.null_count)
        elif column.path_in_schema in file.schema_arrow.names:
            values = file.read_row_group(number, [column.path_in_schema]).column(0)
            missing[column.path_in_schema] = bool(values.null_count)
    return missing


@contextmanager
def _opened(path: Path) -> Iterator["ParquetFile"]:
    """Open a file; explain an error while it is open."""
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            check_names(list(file.schema_arrow.names), path)
            yield file
    except TableError:
        raise
    except Exception as error:  # readers raise many kinds of errors on a damaged file
        raise TableError(
            f"{path} is not a Parquet file ({first_line(error)})",
            "write it again, for example with pandas' to_parquet",
        ) from None


def _to_pandas(rows: "Table", path: Path) -> pd.DataFrame:
    table: pd.DataFrame = rows.to_pandas(use_threads=False)  # parts are read in threads
    levels = [] if isinstance(table.index, pd.RangeIndex) else [name for name in table.index.names if name is not None]
    table.columns = table.columns.map(str)
    check_names([*map(str, levels), *table.columns], path)
    table = (table.reset_index(levels) if levels else table).reset_index(drop=True)
    table.columns = table.columns.map(str)
    return table
