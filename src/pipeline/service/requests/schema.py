"""What a row of a request must be, made from the columns a model was trained on."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic_core import CoreSchema, SchemaValidator
from pydantic_core import core_schema as core

from pipeline.features.columns import Kind, as_text
from pipeline.service.answered import Columns
from pipeline.service.requests.bad_request import Problems, told

if TYPE_CHECKING:
    from pipeline.features.transformer import FeatureTransformer

LONGEST_TEXT = 1000  # characters, unless a known category is longer
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
    row, rows : SchemaValidator
        Of a row, and of a list of rows, to the first that is wrong. Further keys are not seen: an error for each would
        let a body of them fill the memory.
    text_columns : list of str
    """

    def __init__(self, kinds: dict[str, Kind], categories: dict[str, list[str]]) -> None:
        self.kinds = kinds
        self.categories = categories
        self.numeric_texts = frozenset(name for name, values in categories.items() if values and _are_numbers(values))
        values = {name: _value_schema(kind, name in self.numeric_texts) for name, kind in kinds.items()}
        self._values = {name: SchemaValidator(schema) for name, schema in values.items()}
        fields = {name: core.typed_dict_field(schema, required=True) for name, schema in values.items()}
        row = core.typed_dict_schema(fields, extra_behavior="ignore", strict=True)
        self.row = SchemaValidator(row)
        self.rows = SchemaValidator(core.list_schema(row, fail_fast=True, strict=True))
        self.text_columns = [name for name, kind in kinds.items() if kind == "text"]
        known = (len(value) for values in categories.values() for value in values)
        self.longest_text = max(LONGEST_TEXT, *known, 0)

    @classmethod
    def of(cls, transformer: "FeatureTransformer") -> "RowSchema":
        """Make it from what a model's feature transformer takes."""
        return cls(transformer.kinds, transformer.known_texts)

    def check_columns(self, names: Sequence[str]) -> None:
        """Refuse a table that has not exactly the columns of a row.

        Raises
        ------
        BadRequest
            422 when a column is missing, unknown, or there twice.
        """
        problems = Problems()
        self.check_keys((), names, problems, sorted(name for name, count in Counter(names).items() if count > 1))
        problems.refuse()

    def check_texts(self, columns: Columns, single: bool) -> None:
        """Refuse texts that no category is as long as: what watches the requests keeps them in memory.

        Raises
        ------
        BadRequest
            422 when there is one.
        """
        problems = Problems()
        for name in self.text_columns:
            for place, value in enumerate(columns[name]):
                if isinstance(value, str) and len(value) > self.longest_text:
                    message = f"a text has at most {self.longest_text:,} characters; this has {len(value):,}"
                    problems.add((name,) if single else (place, name), message, "text_length")
        problems.refuse()

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of a row."""
        return {
            "type": "object",
            "properties": {name: self._property(name, kind) for name, kind in self.kinds.items()},
            "required": list(self.kinds),
            "additionalProperties": False,
        }

    def check_keys(
        self, loc: tuple[int, ...], found: Iterable[str], problems: Problems, repeated: Iterable[str]
    ) -> None:
        """Add the columns that a row, or a table, lacks, has twice, or should not have."""
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
        names, more = [told(name) for name in list(self.kinds)[:MAX_LISTED]], len(self.kinds) - MAX_LISTED
        return ", ".join(names) + (f" and {more:,} more" if more > 0 else "")

    def takes(self, name: str, value: object) -> bool:
        """Return whether a value is one of a column."""
        return self._values[name].isinstance_python(value)

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
            "maxLength": self.longest_text,
        }


def _value_schema(kind: Kind, takes_numbers: bool) -> CoreSchema:
    text, number = core.str_schema(strict=True), core.float_schema(strict=True, allow_inf_nan=False)
    if kind == "number":
        return core.nullable_schema(number)
    if kind == "boolean":
        return core.nullable_schema(core.bool_schema(strict=True))
    if takes_numbers:  # whole ones are not made floats, which have 15 digits
        return core.nullable_schema(core.union_schema([text, core.int_schema(strict=True), number]))
    return core.nullable_schema(text)


def _are_numbers(categories: list[str]) -> bool:
    """Return whether all categories are numbers, and the same when these are written again: 00501 is not."""
    try:
        numbers = [float(category) for category in categories]
    except ValueError:
        return False
    return all(map(math.isfinite, numbers)) and as_text(pd.Series(numbers, dtype=float)).tolist() == categories


def texts(values: list[Any]) -> list[str | None]:
    """Write numbers among texts as the categories are written."""
    if all(value is None or isinstance(value, str) for value in values):
        return values
    written = as_text(pd.Series(values, dtype=object))
    return [None if missing else text for text, missing in zip(written, written.isna(), strict=True)]
