"""Read rows from CSV as stage prepare reads a table, but for what it would guess: the columns' kinds are known."""

import codecs
import csv
import io
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.features.columns import Kind
from pipeline.service.requests.bad_request import MAX_DETAILS, BadRequest, Problems, no_rows, told, too_many_rows
from pipeline.service.requests.json_body import BOM
from pipeline.service.requests.schema import Parsed, RowSchema

if TYPE_CHECKING:
    import pyarrow as pa

# As pandas' read_csv takes them, which stage prepare uses.
# fmt: off
SIGNS_OF_ABSENCE = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
]
# fmt: on
NUMBER = r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"
TRUE, FALSE = ("true", "1"), ("false", "0")
LARGEST_BLOCK = 2**31 - 1
SPARE = 10_000  # bytes of a header, so that columns too many can be named


def parse_csv(schema: RowSchema, body: bytes, max_rows: int) -> Parsed:
    """Read rows below a header, separated by commas, in UTF-8.

    Raises
    ------
    BadRequest
        400 when it is not a table; 413 when there are too many rows; 422 when there is none, when the header has not
        exactly the model's columns, or a value is not what its column takes.
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
    problems.refuse()
    return Parsed(columns, table.num_rows, single=False)


def _header(body: bytes, longest: int) -> list[str]:
    """Return the first row, of which no more is read than the model's names may take, or a million would be."""
    try:
        header = next(_rows(body.removeprefix(BOM).lstrip(b"\r\n")[:longest]), None)
        if body.count(b'"') % 2:  # perhaps the last one is not closed, of which pyarrow says nothing
            deque(_rows(body), maxlen=0)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _not_csv(error) from None
    if header is None:
        raise BadRequest.of(400, "the body is empty: send a header and rows", "csv_invalid")
    return header


def _rows(body: bytes) -> Iterator[list[str]]:
    text = codecs.getincrementaldecoder("utf-8")().decode(body)  # which may be cut within a letter
    return csv.reader(io.StringIO(text, newline=""), strict=True)


def _read(body: bytes, header: list[str]) -> "pa.Table":
    import pyarrow as pa
    from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

    if not body.endswith((b"\n", b"\r")):
        body += b"\n"  # or pyarrow takes a lone header for an empty file
    types = dict.fromkeys(header, pa.string())
    try:
        table = read_csv(
            pa.py_buffer(body),
            ReadOptions(use_threads=False, block_size=min(len(body), LARGEST_BLOCK)),
            ParseOptions(newlines_in_values=True),
            ConvertOptions(column_types=types, null_values=SIGNS_OF_ABSENCE, strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        raise _not_csv(error) from None
    if table.column_names != header:
        raise BadRequest.of(400, "the header is not CSV: quote names that hold quotes", "csv_invalid")
    return table


def _not_csv(error: Exception) -> BadRequest:
    reason = str(error).removeprefix("CSV parse error: ").split("\n")[0][:200]
    return BadRequest.of(400, f"the body is not CSV in UTF-8: {reason}", "csv_invalid")


def _values(column: "pa.ChunkedArray", name: str, kind: Kind, problems: Problems) -> list[Any]:
    import pyarrow.compute as pc

    texts = pc.ascii_trim_whitespace(column)
    values = column if kind == "text" else _numbers(texts) if kind == "number" else _booleans(texts)
    wrong = pc.and_(pc.is_valid(column), pc.is_null(values))
    wanted = "a finite number" if kind == "number" else "true or false"
    places = pc.indices_nonzero(wrong).to_pylist()
    tell = [] if problems.full else places[:MAX_DETAILS]
    for place in tell:
        found = told(column[place].as_py())
        problems.add((place, name), f"the column takes {wanted}, or nothing; this is {found}", f"{kind}_type")
    problems.count += len(places) - len(tell)
    listed: list[Any] = values.to_pylist()
    return listed


def _numbers(texts: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return numbers, null where a text is no finite one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers = pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        numbers = pc.cast(pc.if_else(pc.match_substring_regex(texts, NUMBER), texts, None), pa.float64())
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def _booleans(texts: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return truth values, null where a text is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lower = pc.ascii_lower(texts)
    true, false = (pc.is_in(lower, value_set=pa.array(signs)) for signs in (TRUE, FALSE))
    return pc.if_else(pc.or_(true, false), true, None)
