"""Read CSV files, whole or in parts, or raise an error that explains why a file is not a table."""

import csv
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from pipeline.errors import TableError
from pipeline.tables.names import check_names
from pipeline.tables.sizes import rows_per_part

if TYPE_CHECKING:
    import _csv

MAX_FIELD_LENGTH = 2**31 - 1
OTHER_SEPARATORS = ";\t|"
# How web pages and JSON start.
NOT_CSV = re.compile(r"\s*(<(!|\?|html|table)|\{\s*(\"|$)|\[\s*([\[{\"]|$))", re.IGNORECASE)


def read_csv(path: Path, types: Mapping[str, str], in_parts: bool = False) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV file, plain or gzip, in one table or in parts.

    Parameters
    ----------
    path : Path
    types : mapping of str to str
        Data types of the columns that pandas must not infer, such as "str" for codes with leading zeros.
    in_parts : bool

    Raises
    ------
    TableError
        When the file is damaged, not UTF-8, not a table, or repeats a column name.
    """
    try:
        header = _first_row(path)
        _check_header(header, path)
        options = {"encoding": "utf-8-sig", "low_memory": False, "index_col": False, "dtype": dict(types)}
        may_be_short = False
        for read in _tables(path, rows_per_part(len(header)) if in_parts else None, options):
            table = _with_large_integers(read)
            may_be_short |= bool(table.iloc[:, -1].isna().any())
            yield table
        if may_be_short:
            _check_row_lengths(path, len(header))
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
            f"{path} is not a table: {first_line(error)}",
            "give every line the same number of values as the header has names",
        ) from None


def _tables(path: Path, n_rows: int | None, options: dict[str, Any]) -> Iterator[pd.DataFrame]:
    """Yield the tables that pandas reads; a warning that a line is too long is an error."""
    with pd.read_csv(path, iterator=True, **options) as reader:
        while True:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                try:
                    table = reader.read(n_rows)
                except StopIteration:
                    return
            yield table


def _with_large_integers(table: pd.DataFrame) -> pd.DataFrame:
    """Replace what pandas returns for integers of 64 bits and more: objects, or text with "" for missing values.

    Integers that do not fit into 64 bits become text, those of 64 bits without a sign numbers.
    """
    changed: dict[str, pd.Series] = {}
    for name, column in table.items():
        if column.dtype == object and pd.api.types.infer_dtype(column) == "integer":
            changed[str(name)] = column.astype("str")
        elif column.dtype == "str" and (column == "").any():  # other text has no "", which is a missing value
            text = column.where(column != "")
            numbers = pd.to_numeric(text, errors="coerce")
            is_number = numbers.notna().equals(text.notna()) and numbers.abs().max() <= 2**64
            changed[str(name)] = numbers.astype(np.float64) if is_number else text
    return table.assign(**changed) if changed else table


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
    check_names(header, path)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without what pandas puts before it."""
    return str(error).strip().split("\n")[0].removeprefix("Error tokenizing data. C error: ")
