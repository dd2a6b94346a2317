"""Read a CSV or Parquet file into a table, or raise an error that explains why it is not one."""

import csv
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import pandas as pd

from pipeline.errors import TableError
from pipeline.support.section import short_repr

if TYPE_CHECKING:
    import _csv

CSV_SUFFIXES = (".csv", ".csv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
MAX_FIELD_LENGTH = 2**31 - 1
MAX_NAME_LENGTH = 500
OTHER_SEPARATORS = ";\t|"
# How web pages and JSON start.
NOT_CSV = re.compile(r"\s*(<(!|\?|html|table)|\{\s*(\"|$)|\[\s*([\[{\"]|$))", re.IGNORECASE)


def read_table(path: Path, text_columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return the table in a CSV (plain or gzip) or Parquet file.

    Parameters
    ----------
    path : Path
        The file. Its suffix determines the format.
    text_columns : sequence of str
        Columns of a CSV file to read as text, such as codes with leading zeros.

    Returns
    -------
    DataFrame, shape (n_rows, n_columns)
        It has at least one row, and distinct column names.

    Raises
    ------
    TableError
        When the file is missing, empty, damaged, of another format, not UTF-8, or repeats a column name.
    """
    if not path.exists():
        raise TableError(f"{path} does not exist", "set dataset.path in params.yaml to your CSV or Parquet file")
    if path.is_dir():
        raise TableError(f"{path} is a folder", "set dataset.path in params.yaml to one CSV or Parquet file")
    if path.stat().st_size == 0:
        raise TableError(f"{path} is empty", "replace it with a file that has a header and rows")
    name = path.name.lower()
    if name.endswith(PARQUET_SUFFIXES):
        table = _read_parquet(path)
    elif name.endswith(CSV_SUFFIXES):
        table = _read_csv(path, text_columns)
    else:
        raise TableError(
            f"{path} is neither a CSV nor a Parquet file",
            f"convert it to a file whose name ends in {', '.join(CSV_SUFFIXES + PARQUET_SUFFIXES)}",
        )
    if table.empty:
        raise TableError(f"{path} has a header but no rows", "add rows below the header")
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    from pyarrow.parquet import read_schema

    try:
        _check_names(list(read_schema(path).names), path)
        table = pd.read_parquet(path)
    except TableError:
        raise
    except Exception as error:  # readers raise many kinds of errors on a damaged file
        raise TableError(
            f"{path} is not a Parquet file ({_first_line(error)})",
            "write it again, for example with pandas' to_parquet",
        ) from None
    levels = [] if isinstance(table.index, pd.RangeIndex) else [name for name in table.index.names if name is not None]
    table.columns = table.columns.map(str)
    _check_names([*map(str, levels), *table.columns], path)
    table = (table.reset_index(levels) if levels else table).reset_index(drop=True)
    table.columns = table.columns.map(str)
    return table


def _read_csv(path: Path, text_columns: Sequence[str]) -> pd.DataFrame:
    try:
        header = _first_row(path)
        _check_header(header, path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            types = dict.fromkeys(text_columns, "str")
            table = pd.read_csv(path, encoding="utf-8-sig", low_memory=False, index_col=False, dtype=types)
        if table.iloc[:, -1].isna().any():
            _check_row_lengths(path, len(header))
        return table
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise TableError(f"{path} is not a complete gzip file", "compress it again: gzip -k FILE.csv") from None
    except UnicodeDecodeError:
        _check_first_bytes(path)
        line, byte = _first_undecodable(path)
        raise TableError(
            f"{path} is not UTF-8 text: byte 0x{byte:02x} in line {line}",
            f"convert it from its encoding, such as: iconv -f WINDOWS-1252 -t UTF-8 {path} > utf8.csv",
        ) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, csv.Error, ValueError, OverflowError) as error:
        raise TableError(
            f"{path} is not a table: {_first_line(error)}",
            "give every line the same number of values as the header has names",
        ) from None


def _check_first_bytes(path: Path) -> None:
    with _open(path) as file:
        start = file.read(2)
    if start == b"\x1f\x8b":
        raise TableError(f"{path} is compressed with gzip", f"add .gz to its name: mv {path} {path}.gz")
    if start == b"PK":
        raise TableError(f"{path} is a zip archive or a spreadsheet", "unpack it, or save the table as CSV")
    if start in (b"\xff\xfe", b"\xfe\xff"):
        raise TableError(f"{path} is UTF-16 text", f"convert it: iconv -f UTF-16 -t UTF-8 {path} > utf8.csv")


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.name.lower().endswith(".gz") else path.open("rb")


def _first_row(path: Path) -> list[str]:
    with _open(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        return next((row for row in _rows(text) if row), [])


def _rows(text: io.TextIOWrapper) -> "_csv.Reader":
    csv.field_size_limit(MAX_FIELD_LENGTH)  # Python's default is 131,072 characters, pandas has no limit
    return csv.reader(text)


def _check_row_lengths(path: Path, length: int) -> None:
    """Raise on a row with fewer values than the header has names, which pandas silently fills up."""
    with _open(path) as file:
        reader = _rows(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        for row in reader:
            if 0 < len(row) < length:
                raise TableError(
                    f"{path} is not a table: line {reader.line_num} has {len(row)} values for {length} names",
                    "complete that line (the file may be truncated)",
                )


def _first_undecodable(path: Path) -> tuple[int, int]:
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return number, line[error.start]
    raise AssertionError(f"{path} is UTF-8")


def _check_header(header: list[str], path: Path) -> None:
    if not header:
        raise TableError(f"{path} is empty", "replace it with a file that has a header and rows")
    if any("\0" in name for name in header) or NOT_CSV.match(header[0]):
        raise TableError(f"{path} is not a table: it starts with {header[0][:40]!r}", "save the table as CSV")
    separator = next((char for char in OTHER_SEPARATORS if char in header[0]), None)
    if len(header) == 1 and separator is not None:
        raise TableError(f"{path} is separated by {separator!r}, not by commas", "save it with comma-separated values")
    _check_names(header, path)


def _check_names(names: list[str], path: Path) -> None:
    unnamed = [str(number) for number, name in enumerate(names, start=1) if not name.strip()]
    if unnamed:
        raise TableError(
            f"{path} has no name for column {', '.join(unnamed)}",
            "name it in the header, or remove it (an unnamed first column is often a row number)",
        )
    for name in names:
        if len(name) > MAX_NAME_LENGTH or "\0" in name:
            reason = f"has {len(name):,} characters, more than {MAX_NAME_LENGTH}"
            reason = reason if len(name) > MAX_NAME_LENGTH else "contains a NUL character"
            raise TableError(f"{path} has a column whose name {reason}: {short_repr(name)}", "rename or remove it")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        numbers = [str(number) for number, name in enumerate(names, start=1) if name == repeated[0]]
        raise TableError(
            f"{path} has more than one column named {repeated[0]!r} (columns {', '.join(numbers)})",
            "rename or remove all but one of them",
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].removeprefix("Error tokenizing data. C error: ")
