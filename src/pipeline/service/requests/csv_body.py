"""Parse rows from CSV as the prepare stage reads tables, without guessing types: the kinds of the columns are known."""

import codecs
import csv
import io
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.features.columns import Kind
from pipeline.service.requests.bad_request import MAX_DETAILS, BadRequest, Problems, no_rows, short_json, too_many_rows
from pipeline.service.requests.json_body import BOM
from pipeline.service.requests.schema import ParsedRows, RowSchema

if TYPE_CHECKING:
    import pyarrow as pa

# The defaults of pandas' read_csv, which the prepare stage uses.
# fmt: off
MISSING_VALUES = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
]
# fmt: on
NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
TRUE, FALSE = ("true", "1"), ("false", "0")
MAX_BLOCK_SIZE = 2**31 - 1
SPARE = 10_000  # bytes read of a header beyond the known names, so that unknown columns can be named


def parse_csv(schema: RowSchema, body: bytes, max_rows: int) -> ParsedRows:
    """Return the rows of a CSV body: comma-separated UTF-8 with a header.

    Raises
    ------
    BadRequest
        400 if the body is not CSV; 413 if there are too many rows; 422 if there are none, the header does not have
        exactly the model's columns, or a value is invalid for its column.
    """
    header = _header(body, SPARE + 4 * sum(len(name.encode()) + 1 for name in schema.kinds))
    schema.check_columns(header)
    table = _read(body, header)
    if table.num_rows > max_rows:
        raise too_many_rows(max_rows)
    if not table.num_rows:
        raise no_rows()
    problems = Problems()
    columns = {name: _values(table[name], name, kind, problems) for name, kind in schema.kinds.items()}
    problems.raise_if_any()
    return ParsedRows(columns, table.num_rows, single=False)


def _header(body: bytes, max_bytes: int) -> list[str]:
    """Return the first row, reading at most `max_bytes`: the header of a hostile body may name a million columns."""
    try:
        header = next(_rows(body.removeprefix(BOM).lstrip(b"\r\n")[:max_bytes]), None)
        if body.count(b'"') % 2:  # a quote may be unclosed, which pyarrow does not report
            deque(_rows(body), maxlen=0)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _not_csv(error) from None
    if header is None:
        raise BadRequest.for_body(400, "the body is empty: send a header and rows", "csv_invalid")
    return header


def _rows(body: bytes) -> Iterator[list[str]]:
    text = codecs.getincrementaldecoder("utf-8")().decode(body)  # the body may be cut inside a character
    return csv.reader(io.StringIO(text, newline=""), strict=True)


def _read(body: bytes, header: list[str]) -> "pa.Table":
    import pyarrow as pa
    from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

    if not body.endswith((b"\n", b"\r")):
        body += b"\n"  # otherwise pyarrow takes a header without rows for an empty file
    types = dict.fromkeys(header, pa.string())
    try:
        table = read_csv(
            pa.py_buffer(body),
            ReadOptions(use_threads=False, block_size=min(len(body), MAX_BLOCK_SIZE)),
            ParseOptions(newlines_in_values=True),
            ConvertOptions(column_types=types, null_values=MISSING_VALUES, strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        raise _not_csv(error) from None
    if table.column_names != header:
        message = "the header is not valid CSV: enclose column names that contain quotes in quotes"
        raise BadRequest.for_body(400, message, "csv_invalid")
    return table


def _not_csv(error: Exception) -> BadRequest:
    reason = str(error).removeprefix("CSV parse error: ").split("\n")[0][:200]
    return BadRequest.for_body(400, f"the body is not valid CSV in UTF-8: {reason}", "csv_invalid")


def _values(column: "pa.ChunkedArray", name: str, kind: Kind, problems: Problems) -> list[Any]:
    import pyarrow.compute as pc

    texts = pc.ascii_trim_whitespace(column)
    values = column if kind == "text" else _numbers(texts) if kind == "number" else _booleans(texts)
    is_invalid = pc.and_(pc.is_valid(column), pc.is_null(values))
    expected = "a finite number" if kind == "number" else "true or false"
    invalid_rows = pc.indices_nonzero(is_invalid).to_pylist()
    described = [] if problems.is_full else invalid_rows[:MAX_DETAILS]
    for row_number in described:
        value = short_json(column[row_number].as_py())
        message = f"expected {expected}, or an empty field for a missing value; got {value}"
        problems.add((row_number, name), message, f"{kind}_type")
    problems.count += len(invalid_rows) - len(described)
    value_list: list[Any] = values.to_pylist()
    return value_list


def _numbers(texts: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return texts as numbers; null where a text is not a finite number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers = pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        numbers = pc.cast(pc.if_else(pc.match_substring_regex(texts, NUMBER), texts, None), pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def _booleans(texts: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return texts as booleans; null where a text is neither true nor false."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lower = pc.ascii_lower(texts)
    true, false = (pc.is_in(lower, value_set=pa.array(words)) for words in (TRUE, FALSE))
    return pc.if_else(pc.or_(true, false), true, None)
