"""What a row of a request must be, made from the columns a model was trained on; JSON bodies are held against it.

A body that is right costs one pass of pydantic-core, 2 microseconds for a row of nine columns. What is wrong with one
that is not is looked for only then, so that a body made to be wrong in many places costs no memory.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as core

from pipeline.raw_columns import Kind, as_text
from pipeline.service.answered import Columns
from pipeline.service.bad_request import BadRequest, Problems, no_rows, told, too_many_rows

if TYPE_CHECKING:
    from pipeline.features import FeatureTransformer

BOM = b"\xef\xbb\xbf"
JSON_SPACE = b" \t\r\n"
COMMA_OR_STRING = re.compile(rb'(,)|"[^"\\]*+(?:\\.[^"\\]*+)*+["\\]?', re.DOTALL)
SPARE = 10_000  # values, so that what is wrong with a few too many can be told
MAX_LISTED = 50  # columns or categories that a message or a description names


@dataclass(frozen=True, slots=True)
class Parsed:
    """The rows of a request.

    Attributes
    ----------
    columns : dict of str to list
        Each raw column, in the model's order: float, bool, str, or None where the value is missing.
    n_rows : int
    single : bool
        Whether the body was a row, and not a list of rows.
    """

    columns: Columns
    n_rows: int
    single: bool


class RowSchema:
    """What a row must be.

    Attributes
    ----------
    kinds : dict of str to {"number", "boolean", "text"}
        The raw columns, in order.
    numeric_texts : frozenset of str
        The text columns that take numbers too, because all their known categories are numbers: 501, 501.0 and "501"
        are one. Where a category is 00501 a number could not say which one is meant.
    categories : dict of str to list of str
        The known ones of each text column.
    """

    def __init__(self, kinds: dict[str, Kind], categories: dict[str, list[str]]) -> None:
        self.kinds = kinds
        self.categories = categories
        self.numeric_texts = frozenset(
            name for name, values in categories.items() if values and all(map(_is_number, values))
        )
        values = {name: _value_schema(kind, name in self.numeric_texts) for name, kind in kinds.items()}
        self._values = {name: SchemaValidator(schema) for name, schema in values.items()}
        fields = {name: core.typed_dict_field(schema, required=True) for name, schema in values.items()}
        # Unknown columns are found by counting: an error for each would let a body of them fill the memory.
        self._row_schema = core.typed_dict_schema(fields, extra_behavior="ignore")
        self._row = SchemaValidator(self._row_schema)
        self._lists: dict[int, SchemaValidator] = {}
        self._texts = [name for name, kind in kinds.items() if kind == "text"]
        self._colons = len(kinds) + sum(name.count(":") for name in kinds)

    @classmethod
    def of(cls, transformer: "FeatureTransformer") -> "RowSchema":
        """Make it from what a model's feature transformer takes."""
        return cls(transformer.kinds, transformer.categories)

    def parse_json(self, body: bytes, max_rows: int) -> Parsed:
        """Read one row, an object, or many, a list of objects.

        Parameters
        ----------
        body : bytes
            JSON in UTF-8.
        max_rows : int

        Raises
        ------
        BadRequest
            400 when it is not JSON; 413 when there are too many rows; 422 when there is none or one is not right:
            a column is missing, unknown, there twice, of another type, or a number that is not finite.
        """
        body = body.removeprefix(BOM)
        single = body.lstrip(JSON_SPACE)[:1] != b"["
        self._check_amount(body, 1 if single else max_rows)
        try:
            rows = [self._row.validate_json(body)] if single else self._list(max_rows).validate_json(body)
        except ValidationError as error:
            raise self._refusal(error, body, single, max_rows) from None
        if not rows:
            raise no_rows()
        columns: Columns = {name: [row[name] for row in rows] for name in self.kinds}
        if self._has_other_keys(body, columns, len(rows)):
            self._refuse(json.loads(body, object_pairs_hook=_Row, parse_int=float), single)
        for name in self.numeric_texts:
            columns[name] = texts(columns[name])
        return Parsed(columns, len(rows), single)

    def check_columns(self, names: Sequence[str]) -> None:
        """Refuse a table that has not exactly the columns of a row.

        Raises
        ------
        BadRequest
            422 when a column is missing, unknown, or there twice.
        """
        problems = Problems()
        self._check_keys((), names, problems, sorted(name for name, count in Counter(names).items() if count > 1))
        problems.refuse()

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of a row."""
        return {
            "type": "object",
            "properties": {name: self._property(name, kind) for name, kind in self.kinds.items()},
            "required": list(self.kinds),
            "additionalProperties": False,
        }

    def _check_amount(self, body: bytes, max_rows: int) -> None:
        """Refuse a body with so many values, of whatever kind, that to parse them would stop all others for seconds."""
        most = SPARE + 2 * max_rows * len(self.kinds)
        if body.count(b",") > most:  # perhaps within texts
            commas = (found for found in COMMA_OR_STRING.finditer(body) if found[1])
            if next(islice(commas, most, None), None):
                message = f"the body has far more values than {max_rows:,} rows of {len(self.kinds):,} columns"
                raise BadRequest.of(413, message, "too_many_values")

    def _list(self, max_rows: int) -> SchemaValidator:
        if max_rows not in self._lists:
            schema = core.list_schema(self._row_schema, max_length=max_rows, fail_fast=True)
            self._lists[max_rows] = SchemaValidator(schema)
        return self._lists[max_rows]

    def _has_other_keys(self, body: bytes, columns: Columns, n_rows: int) -> bool:
        """Return whether rows that have all columns may have another, or one of them twice.

        Each key brings a colon, and colons are counted in no time. One written as an escape hides from the count.
        """
        colons = n_rows * self._colons
        for name in self._texts:
            colons += sum(value.count(":") for value in columns[name] if isinstance(value, str))
        return body.count(b":") != colons or b"\\u003" in body

    def _refusal(self, error: ValidationError, body: bytes, single: bool, max_rows: int) -> BadRequest:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            if not body.strip(JSON_SPACE):
                return BadRequest.of(400, "the body is empty: send a row, or a list of rows, as JSON", "json_invalid")
            return BadRequest.of(400, f"the body is not JSON: {first['ctx']['error']}", "json_invalid")
        any_rows = SchemaValidator(core.any_schema() if single else core.list_schema(max_length=max_rows))
        try:
            self._refuse(any_rows.validate_json(body), single)
        except ValidationError:
            return too_many_rows(max_rows)
        except BadRequest as refusal:
            return refusal
        raise AssertionError("what pydantic refuses in a list it refuses alone")

    def _refuse(self, body: Any, single: bool) -> None:
        problems = Problems()
        for number, row in enumerate([body] if single else body):
            loc: tuple[int, ...] = () if single else (number,)
            if not isinstance(row, dict):
                problems.add(loc, f"a row is an object of columns and values, not {told(row)}", "row_type")
                continue
            self._check_keys(loc, row.keys(), problems, getattr(row, "repeated", ()))
            for name, value in row.items():
                if name in self._values and not self._values[name].isinstance_python(value):
                    self.add_wrong(problems, (*loc, name), value)
        problems.refuse()

    def _check_keys(
        self, loc: tuple[int, ...], found: Iterable[str], problems: Problems, repeated: Iterable[str]
    ) -> None:
        found = dict.fromkeys(found)
        for name in repeated:
            problems.add((*loc, name), "the column is there more than once", "repeated_column")
        if found.keys() == self.kinds.keys():
            return
        unknown = [name for name in found if name not in self.kinds]
        n_missing = len(self.kinds) - (len(found) - len(unknown))
        if problems.full:
            problems.count += len(unknown) + n_missing
            return
        columns = self._named() if unknown else ""
        for name in unknown:
            problems.add((*loc, name), f"there is no such column: the columns are {columns}", "unknown_column")
        for name in self.kinds if n_missing else ():
            if name not in found:
                problems.add((*loc, name), "the column is missing: send it empty (null) if it is not known", "missing")

    def _named(self) -> str:
        names = [told(name) for name in list(self.kinds)[:MAX_LISTED]]
        return ", ".join(names) + (
            f" and {len(self.kinds) - MAX_LISTED:,} more" if len(self.kinds) > MAX_LISTED else ""
        )

    def takes_numbers(self, name: str) -> bool:
        """Return whether numbers are values of a column."""
        return self.kinds[name] == "number" or name in self.numeric_texts

    def add_wrong(self, problems: Problems, loc: tuple[*tuple[int, ...], str], value: object) -> None:
        """Add a value that its column, the last of `loc`, does not take."""
        if problems.full:
            problems.count += 1
            return
        name = loc[-1]
        kind = self.kinds[name]
        if self.takes_numbers(name) and isinstance(value, int | float) and not isinstance(value, bool):
            message = f"a number must be finite, and within 64 bits; this is {told(value)}"
            problems.add(loc, message, "finite_number")
            return
        wanted = {"number": "a number", "boolean": "true or false", "text": "text"}[kind]
        if name in self.numeric_texts:
            wanted += " or a number"
        message = f"the column takes {wanted}, or null where it is missing; this is {told(value)}"
        problems.add(loc, message, f"{kind}_type")

    def _property(self, name: str, kind: Kind) -> dict[str, Any]:
        if kind == "number":
            return {"type": ["number", "null"], "description": "A number; null where it is missing."}
        if kind == "boolean":
            return {"type": ["boolean", "null"], "description": "True or false; null where it is missing."}
        known = self.categories.get(name, [])
        more = f", the first {MAX_LISTED} of" if len(known) > MAX_LISTED else ""
        return {
            "type": ["string", "number", "null"] if name in self.numeric_texts else ["string", "null"],
            "description": f"A category; null where it is missing. Known in training{more}: {len(known):,}. Others are "
            "answered too, as if it were missing.",
            "examples": known[:MAX_LISTED],
        }


class _Row(dict[str, Any]):
    """An object of JSON that knows which keys it had more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        # What `add` returns is None.
        self.repeated = [name for name, _ in pairs if name in seen or seen.add(name)]  # type: ignore[func-returns-value]


def _value_schema(kind: Kind, takes_numbers: bool) -> CoreSchema:
    text, number = core.str_schema(strict=True), core.float_schema(strict=True, allow_inf_nan=False)
    if kind == "number":
        return core.nullable_schema(number)
    if kind == "boolean":
        return core.nullable_schema(core.bool_schema(strict=True))
    if takes_numbers:  # whole ones are not made floats, which have 15 digits
        return core.nullable_schema(core.union_schema([text, core.int_schema(strict=True), number]))
    return core.nullable_schema(text)


def _is_number(category: str) -> bool:
    """Return whether a category is a number, and the same when that is written again: 00501 is not."""
    try:
        value = float(category)
    except ValueError:
        return False
    return math.isfinite(value) and as_text(pd.Series([value]))[0] == category


def texts(values: list[Any]) -> list[str | None]:
    """Write numbers among texts as the categories are written."""
    if all(value is None or isinstance(value, str) for value in values):
        return values
    written = as_text(pd.Series(values, dtype=object))
    return [None if missing else text for text, missing in zip(written, written.isna(), strict=True)]
