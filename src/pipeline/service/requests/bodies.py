"""Parse the rows of a request body: JSON, CSV or an Arrow stream."""

import re

from pipeline.service.requests.bad_request import BadRequest
from pipeline.service.requests.json_body import parse_json
from pipeline.service.requests.schema import ParsedRows, RowSchema

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
CHARSET = re.compile(r'charset\s*=\s*"?([^";\s]*)', re.IGNORECASE)
UTF_8 = ("", "utf-8", "utf8", "us-ascii", "ascii")


def parse(schema: RowSchema, body: bytes, content_type: str, max_rows: int) -> ParsedRows:
    """Return the rows of a request body.

    Parameters
    ----------
    schema : RowSchema
        The schema of a row.
    body : bytes
    content_type : str
        The Content-Type header; if empty, the body is JSON.
    max_rows : int

    Raises
    ------
    BadRequest
        400 if the body is not of its content type; 413 if it has too many rows; 415 if the content type is not
        supported; 422 if there are no rows, or a row does not match the schema.
    """
    parsed = _parse(schema, body, content_type, max_rows)
    schema.check_texts(parsed.columns, parsed.single)
    return parsed


def _parse(schema: RowSchema, body: bytes, content_type: str, max_rows: int) -> ParsedRows:
    if content_type == JSON:
        return parse_json(schema, body, max_rows)
    media_type, _, parameters = content_type.partition(";")
    charset = CHARSET.search(parameters)
    if charset and charset[1].lower() not in UTF_8:
        raise BadRequest.for_body(415, "the charset of the body is not supported: send UTF-8", "content_type")
    match media_type.strip().lower():
        case "" | "application/json":
            return parse_json(schema, body, max_rows)
        case "text/csv":
            from pipeline.service.requests.csv_body import parse_csv

            return parse_csv(schema, body, max_rows)
        case "application/vnd.apache.arrow.stream":
            from pipeline.service.requests.arrow_body import parse_arrow

            return parse_arrow(schema, body, max_rows)
    message = f"the content type is not supported: set the header Content-Type to {JSON}, {CSV} or {ARROW}"
    raise BadRequest.for_body(415, message, "content_type")
