"""A request that cannot be answered as it is, and the lines that tell its sender why."""

import json
import math
from collections.abc import Sequence
from typing import Any

from pipeline.support.section import LONGEST_SHOWN

MAX_DETAILS = 20
Detail = dict[str, Any]


class BadRequest(Exception):  # noqa: N818 - it is the sender's error
    """What is wrong with a request.

    Attributes
    ----------
    status : int
        An HTTP status from 400 to 499.
    detail : list of dict
        For each thing that is wrong ``loc`` (``"body"``, the row's number from 0 where there are many, the column),
        ``msg`` and ``type``; at most `MAX_DETAILS`, and how many more there are.
    """

    def __init__(self, status: int, detail: list[Detail]) -> None:
        super().__init__("; ".join(one["msg"] for one in detail))
        self.status = status
        self.detail = detail

    @classmethod
    def of(cls, status: int, message: str, type_: str) -> "BadRequest":
        """Return what is wrong with a body as a whole."""
        return cls(status, [problem((), message, type_)])


class Problems:
    """The fields that are wrong in a body, of which the first are told and all are counted."""

    def __init__(self) -> None:
        self.detail: list[Detail] = []
        self.count = 0

    def add(self, loc: Sequence[int | str], message: str, type_: str) -> None:
        """Add one that is worth telling as long as there is room."""
        self.count += 1
        if len(self.detail) < MAX_DETAILS:
            self.detail.append(problem(loc, message, type_))

    @property
    def full(self) -> bool:
        """Whether further ones are only counted."""
        return len(self.detail) >= MAX_DETAILS

    def refuse(self) -> None:
        """Raise `BadRequest`, of status 422, if there is any."""
        if not self.count:
            return
        more = self.count - len(self.detail)
        left = [problem((), f"and {more:,} more like these", "more")] if more else []
        raise BadRequest(422, self.detail + left)


def problem(loc: Sequence[int | str], message: str, type_: str) -> Detail:
    """Return one thing that is wrong, at a place in the body."""
    return {"loc": ["body", *(_short(part) for part in loc)], "msg": message, "type": type_}


def too_many_rows(max_rows: int) -> BadRequest:
    """Return the refusal of a body with more rows than one request may have."""
    return BadRequest.of(413, f"more than {max_rows:,} rows in one request: send them in several", "too_many_rows")


def no_rows() -> BadRequest:
    """Return the refusal of a body without a row."""
    return BadRequest.of(422, "there is no row: send at least one", "no_rows")


def told(value: object) -> str:
    """Return a value as JSON writes it, and short."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, float) and math.isinf(value):
        return "a number that is infinite in 64 bits"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a whole number of {value.bit_length():,} bits"
    text = value if isinstance(value, str) else ""
    end = "…" if len(text) > LONGEST_SHOWN else ""
    return json.dumps(text[:LONGEST_SHOWN] if text else value, ensure_ascii=False) + end


def _short(part: int | str) -> int | str:
    """Shorten what the sender called a column."""
    return f"{part[: 2 * LONGEST_SHOWN]}…" if isinstance(part, str) and len(part) > 2 * LONGEST_SHOWN else part
