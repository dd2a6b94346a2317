"""Read a whole table into memory."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.errors import TableError
from pipeline.tables.csv_files import read_csv
from pipeline.tables.files import is_parquet, table_files
from pipeline.tables.parquet_files import read_parquet
from pipeline.tables.parts import open_parts


def read_table(path: Path, text_columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return the table in a CSV (plain or gzip) or Parquet file, a folder of such files, or those of a pattern.

    Parameters
    ----------
    path : Path
        The suffix of a file determines the format.
    text_columns : sequence of str
        Columns of a CSV file to read as text, such as codes with leading zeros.

    Returns
    -------
    DataFrame, shape (n_rows, n_columns)
        It has at least one row, and distinct column names.

    Raises
    ------
    TableError
        When a file is missing, empty, damaged, of another format, not UTF-8, or repeats a column name.
    """
    files = table_files(path)
    if len(files) > 1:
        with tempfile.TemporaryDirectory() as copies:
            parted = open_parts(path, text_columns, Path(copies))
            return pd.concat([parted.read(number) for number in range(len(parted.parts))])
    file = files[0]
    table = read_parquet(file) if is_parquet(file) else pd.concat(read_csv(file, dict.fromkeys(text_columns, "str")))
    if table.empty:
        raise TableError(f"{file} has a header but no rows", "add rows below the header")
    return table
