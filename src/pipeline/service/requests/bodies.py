"""Read the rows of a request from its body: JSON, CSV or an Arrow stream."""

import re

from pipeline.service.requests.bad_request import BadRequest
from pipeline.service.requests.json_body import parse_json
from pipeline.service.requests.schema import Parsed, RowSchema

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
CHARSET = re.compile(r'charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)
UTF_8 = ("", "utf-8", "utf8", "us-ascii", "ascii")


def parse(schema: RowSchema, body: bytes, content_type: str, max_rows: int) -> Parsed:
    """Read the rows of a request.

    Parameters
    ----------
    schema : RowSchema
        What a row must be.
    body : bytes
    content_type : str
        The request's header; JSON where it is empty.
    max_rows : int

    Raises
    ------
    BadRequest
        400 when the body is not what its content type says; 413 when it has too many rows; 415 of another content
        type; 422 when there is no row, or one is not right.
    """
    parsed = _parse(schema, body, content_type, max_rows)
    schema.check_texts(parsed.columns, parsed.single)
    return parsed


def _parse(schema: RowSchema, body: bytes, content_type: str, max_rows: int) -> Parsed:
    if content_type == JSON:
        return parse_json(schema, body, max_rows)
    media_type, _, rest = content_type.partition(";")
    charset = CHARSET.search(rest)
    if charset and charset[1].lower() not in UTF_8:
        raise BadRequest.of(415, "the body must be UTF-8", "content_type")
    match media_type.strip().lower():
        case "" | "application/json":
            return parse_json(schema, body, max_rows)
        case "text/csv":
            from pipeline.service.requests.csv_body import parse_csv

            return parse_csv(schema, body, max_rows)
        case "application/vnd.apache.arrow.stream":
            from pipeline.service.requests.arrow_body import parse_arrow

            return parse_arrow(schema, body, max_rows)
    raise BadRequest.of(415, f"set the header Content-Type to {JSON}, {CSV} or {ARROW}", "content_type")
