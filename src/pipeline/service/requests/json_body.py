"""Read rows from JSON.

A body that is right costs one pass of pydantic-core over it, 1.3 microseconds for a row of nine columns. (To validate
the bytes without making objects of them first takes 0.9, but 8 milliseconds instead of 0.6 for one of 3,197.) What is
wrong with one that is not is looked for only then.
"""

import json
import re
from itertools import islice
from typing import Any

from pydantic_core import ValidationError, from_json

from pipeline.service.answered import Columns
from pipeline.service.requests.bad_request import BadRequest, Problems, no_rows, told, too_many_rows
from pipeline.service.requests.schema import Parsed, RowSchema, texts

BOM = b"\xef\xbb\xbf"
SPACE = b" \t\r\n"
COMMA_OR_STRING = re.compile(rb'(,)|"[^"\\]*+(?:\\.[^"\\]*+)*+["\\]?', re.DOTALL)
SPARE = 10_000  # values, so that what is wrong with a few too many can be told


def parse_json(schema: RowSchema, body: bytes, max_rows: int) -> Parsed:
    """Read one row, an object, or many, a list of objects.

    Parameters
    ----------
    schema : RowSchema
    body : bytes
        JSON in UTF-8.
    max_rows : int

    Raises
    ------
    BadRequest
        400 when it is not JSON; 413 when there are too many rows; 422 when there is none or one is not right: a column
        is missing, unknown, there twice, of another type, or a number that is not finite.
    """
    body = body.removeprefix(BOM)
    single = body.lstrip(SPACE)[:1] != b"["
    _check_amount(schema, body, 1 if single else max_rows)
    sent = _parsed(body)
    if not single and len(sent) > max_rows:
        raise too_many_rows(max_rows)
    try:
        rows = [schema.row.validate_python(sent)] if single else schema.rows.validate_python(sent)
    except ValidationError:
        _refuse(schema, sent, single)
        raise
    if not rows:
        raise no_rows()
    columns: Columns = {name: [row[name] for row in rows] for name in schema.kinds}
    if _may_have_other_keys(schema, body, columns, len(rows)):
        _refuse(schema, json.loads(body, object_pairs_hook=_Row, parse_int=float), single)
    for name in schema.numeric_texts:
        columns[name] = texts(columns[name])
    return Parsed(columns, len(rows), single)


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError as error:
        if not body.strip(SPACE):
            message = "the body is empty: send a row, or a list of rows, as JSON"
        else:
            message = f"the body is not JSON: {error}"
        raise BadRequest.of(400, message, "json_invalid") from None


def _check_amount(schema: RowSchema, body: bytes, max_rows: int) -> None:
    """Refuse a body with so many values, of whatever kind, that to parse them would stop all others for seconds."""
    n_columns = len(schema.kinds)
    most = SPARE + 2 * max_rows * n_columns
    if body.count(b",") > most:  # perhaps within texts
        commas = (found for found in COMMA_OR_STRING.finditer(body) if found[1])
        if next(islice(commas, most, None), None):
            message = f"the body has far more values than rows may have: {max_rows:,} of {n_columns:,} columns"
            raise BadRequest.of(413, message, "too_many_values")


def _may_have_other_keys(schema: RowSchema, body: bytes, columns: Columns, n_rows: int) -> bool:
    """Return whether rows that have all columns may have another, or one of them twice.

    Each key brings a colon, and colons are counted in no time. One written as an escape hides from the count.
    """
    colons = n_rows * sum([1 + name.count(":") for name in schema.kinds])
    for name in schema.text_columns:
        colons += sum([value.count(":") for value in columns[name] if isinstance(value, str)])
    return body.count(b":") != colons or b"\\u003" in body


def _refuse(schema: RowSchema, sent: Any, single: bool) -> None:
    """Raise `BadRequest` with all that is wrong in rows, if anything is."""
    problems = Problems()
    for number, row in enumerate([sent] if single else sent):
        loc: tuple[int, ...] = () if single else (number,)
        if not isinstance(row, dict):
            problems.add(loc, f"a row is an object of columns and values, not {told(row)}", "row_type")
            continue
        schema.check_keys(loc, row, problems, getattr(row, "repeated", ()))
        for name, value in row.items():
            if name in schema.kinds and not schema.takes(name, value):
                schema.add_wrong(problems, (*loc, name), value)
    problems.refuse()


class _Row(dict[str, Any]):
    """An object of JSON that knows which keys it had more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        # What `add` returns is None.
        self.repeated = [name for name, _ in pairs if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
