"""The error for a request that cannot be served, and the messages that tell the client why."""

import json
import math
from collections.abc import Sequence
from typing import Any

from pipeline.support.section import MAX_REPR_LENGTH

MAX_DETAILS = 20
Detail = dict[str, Any]


class BadRequest(Exception):  # noqa: N818 - it is the client's error
    """A request that cannot be served.

    Attributes
    ----------
    status : int
        An HTTP status from 400 to 599.
    detail : list of dict
        One entry for each problem: ``loc`` (``"body"``, the row number from 0 if the body is a list, the column),
        ``msg`` and ``type``. At most `MAX_DETAILS` problems are listed, then the number of further ones.
    headers : dict of str to str
        Headers of the response.
    """

    def __init__(self, status: int, detail: list[Detail], headers: dict[str, str] | None = None) -> None:
        super().__init__("; ".join(entry["msg"] for entry in detail))
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    @classmethod
    def for_body(cls, status: int, message: str, type_: str) -> "BadRequest":
        """Return the error for a problem of the body as a whole."""
        return cls(status, [problem((), message, type_)])


class Problems:
    """The invalid fields of a body: all are counted, the first `MAX_DETAILS` are described."""

    def __init__(self) -> None:
        self.detail: list[Detail] = []
        self.count = 0

    def add(self, loc: Sequence[int | str], message: str, type_: str) -> None:
        """Count a problem, and describe it while there is room."""
        self.count += 1
        if len(self.detail) < MAX_DETAILS:
            self.detail.append(problem(loc, message, type_))

    @property
    def is_full(self) -> bool:
        """Whether further problems are only counted."""
        return len(self.detail) >= MAX_DETAILS

    def raise_if_any(self) -> None:
        """Raise `BadRequest` with status 422 if there are problems."""
        if not self.count:
            return
        n_more = self.count - len(self.detail)
        rest = [problem((), f"and {n_more:,} more problems", "more")] if n_more else []
        raise BadRequest(422, self.detail + rest)


def problem(loc: Sequence[int | str], message: str, type_: str) -> Detail:
    """Return the description of one problem at a location in the body."""
    return {"loc": ["body", *(_short(part) for part in loc)], "msg": message, "type": type_}


def too_many_rows(max_rows: int) -> BadRequest:
    """Return the error for a body with more rows than one request may have."""
    message = f"more than {max_rows:,} rows in one request: split them into several requests"
    return BadRequest.for_body(413, message, "too_many_rows")


def no_rows() -> BadRequest:
    """Return the error for a body without rows."""
    return BadRequest.for_body(422, "the body has no rows: send at least one", "no_rows")


def short_json(value: object) -> str:
    """Return a value as JSON, shortened for a message."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, float) and math.isinf(value):
        return "a number outside the range of 64-bit floats"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length():,} bits"
    text = value if isinstance(value, str) else ""
    end = "…" if len(text) > MAX_REPR_LENGTH else ""
    return json.dumps(text[:MAX_REPR_LENGTH] if text else value, ensure_ascii=False) + end


def _short(part: int | str) -> int | str:
    """Shorten a column name of the client's."""
    return f"{part[: 2 * MAX_REPR_LENGTH]}…" if isinstance(part, str) and len(part) > 2 * MAX_REPR_LENGTH else part
