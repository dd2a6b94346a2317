"""The schema of a row in a request, made from the columns that a model was trained on."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic_core import CoreSchema, SchemaValidator
from pydantic_core import core_schema as core

from pipeline.features.columns import Kind, as_text
from pipeline.service.records import Columns
from pipeline.service.requests.bad_request import Problems, short_json

if TYPE_CHECKING:
    from pipeline.features.transformer import FeatureTransformer

LONGEST_TEXT = 1000  # characters, unless a known category is longer
LONGEST_FREE_TEXT = 10_000  # characters, in a column without known categories
MAX_LISTED = 50  # columns or categories that a message or a description names


@dataclass(frozen=True, slots=True)
class ParsedRows:
    """The parsed rows of a request.

    Attributes
    ----------
    columns : dict of str to list
        The raw columns, in the model's order. Values are float, bool or str; None is a missing value.
    n_rows : int
    single : bool
        Whether the body was one row, not a list of rows.
    """

    columns: Columns
    n_rows: int
    single: bool


class RowSchema:
    """The schema of a row.

    Attributes
    ----------
    kinds : dict of str to {"number", "boolean", "text"}
        The raw columns, in order.
    numeric_texts : frozenset of str
        The text columns that also accept numbers, because all their known categories are numbers: 501, 501.0 and
        "501" are equal. A column with the category 00501 is not among them: a number cannot express leading zeros.
    categories : dict of str to list of str
        The known categories of each text column that is one-hot encoded.
    descriptions : dict of str to str
        What the values of other columns are, such as the format of a date.
    row, rows : SchemaValidator
        Validators of one row and of a list of rows. Both stop at the first invalid row and ignore unknown keys:
        collecting an error for each key could exhaust the memory.
    text_columns : list of str
    """

    def __init__(
        self,
        kinds: dict[str, Kind],
        categories: dict[str, list[str]],
        descriptions: dict[str, str] | None = None,
    ) -> None:
        self.kinds = kinds
        self.categories = categories
        self.descriptions = descriptions or {}
        self.numeric_texts = frozenset(name for name, values in categories.items() if values and _are_numbers(values))
        values = {name: _value_schema(kind, name in self.numeric_texts) for name, kind in kinds.items()}
        self._values = {name: SchemaValidator(schema) for name, schema in values.items()}
        fields = {name: core.typed_dict_field(schema, required=True) for name, schema in values.items()}
        row = core.typed_dict_schema(fields, extra_behavior="ignore", strict=True)
        self.row = SchemaValidator(row)
        self.rows = SchemaValidator(core.list_schema(row, fail_fast=True, strict=True))
        self.text_columns = [name for name, kind in kinds.items() if kind == "text"]
        lengths = (len(value) for values in categories.values() for value in values)
        self.longest_text = max(LONGEST_TEXT, *lengths, 0)

    @classmethod
    def from_transformer(cls, transformer: "FeatureTransformer") -> "RowSchema":
        """Return the schema of the rows that a feature transformer accepts."""
        return cls(transformer.kinds, transformer.known_categories, transformer.descriptions)

    def check_columns(self, names: Sequence[str]) -> None:
        """Check that a table has exactly the columns of a row.

        Raises
        ------
        BadRequest
            422 if a column is missing, unknown or repeated.
        """
        problems = Problems()
        self.check_keys((), names, problems, sorted(name for name, count in Counter(names).items() if count > 1))
        problems.raise_if_any()

    def check_texts(self, columns: Columns, single: bool) -> None:
        """Check the length of texts, because drift monitoring keeps them in memory.

        Raises
        ------
        BadRequest
            422 if a text is longer than `max_length` of its column.
        """
        problems = Problems()
        for name in self.text_columns:
            max_length = self.max_length(name)
            for row_number, value in enumerate(columns[name]):
                if isinstance(value, str) and len(value) > max_length:
                    message = f"a text may have at most {max_length:,} characters; this one has {len(value):,}"
                    problems.add((name,) if single else (row_number, name), message, "text_length")
        problems.raise_if_any()

    def max_length(self, name: str) -> int:
        """Return the maximum number of characters of a text column."""
        return self.longest_text if name in self.categories else max(self.longest_text, LONGEST_FREE_TEXT)

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of a row."""
        return {
            "type": "object",
            "properties": {name: self._property(name, kind) for name, kind in self.kinds.items()},
            "required": list(self.kinds),
            "additionalProperties": False,
        }

    def check_keys(
        self, loc: tuple[int, ...], names: Iterable[str], problems: Problems, repeated: Iterable[str]
    ) -> None:
        """Add the missing, unknown and repeated columns of a row or a table to `problems`."""
        found = dict.fromkeys(names)
        for name in repeated:
            problems.add((*loc, name), "the column appears more than once", "repeated_column")
        if found.keys() == self.kinds.keys():
            return
        unknown = [name for name in found if name not in self.kinds]
        n_missing = len(self.kinds) - (len(found) - len(unknown))
        if problems.is_full:
            problems.count += len(unknown) + n_missing
            return
        known = self._column_list() if unknown else ""
        for name in unknown:
            problems.add((*loc, name), f"unknown column: the columns are {known}", "unknown_column")
        for name in self.kinds if n_missing else ():
            if name not in found:
                message = "the column is missing: send null, or an empty CSV field, for an unknown value"
                problems.add((*loc, name), message, "missing")

    def _column_list(self) -> str:
        names, n_more = [short_json(name) for name in list(self.kinds)[:MAX_LISTED]], len(self.kinds) - MAX_LISTED
        return ", ".join(names) + (f" and {n_more:,} more" if n_more > 0 else "")

    def accepts(self, name: str, value: object) -> bool:
        """Return whether a value is valid for a column."""
        return self._values[name].isinstance_python(value)

    def accepts_numbers(self, name: str) -> bool:
        """Return whether numbers are valid for a column."""
        return self.kinds[name] == "number" or name in self.numeric_texts

    def add_invalid(self, problems: Problems, loc: tuple[*tuple[int, ...], str], value: object) -> None:
        """Add a value that is invalid for its column, the last element of `loc`, to `problems`."""
        if problems.is_full:
            problems.count += 1
            return
        name = loc[-1]
        kind = self.kinds[name]
        if self.accepts_numbers(name) and isinstance(value, int | float) and not isinstance(value, bool):
            message = f"a number must be finite and fit into 64 bits; got {short_json(value)}"
            problems.add(loc, message, "finite_number")
            return
        expected = {"number": "a number", "boolean": "true or false", "text": "text"}[kind]
        if name in self.numeric_texts:
            expected += " or a number"
        message = f"expected {expected}, or null for a missing value; got {short_json(value)}"
        problems.add(loc, message, f"{kind}_type")

    def _property(self, name: str, kind: Kind) -> dict[str, Any]:
        if kind == "number":
            description = self.descriptions.get(name, "A number; null if missing.")
            return {"type": ["number", "null"], "description": description}
        if kind == "boolean":
            return {"type": ["boolean", "null"], "description": "True or false; null if missing."}
        if name not in self.categories:
            description = self.descriptions.get(name, "Text; null if missing.")
            return {"type": ["string", "null"], "description": description, "maxLength": self.max_length(name)}
        known = self.categories[name]
        listed = f", the first {MAX_LISTED} listed as examples" if len(known) > MAX_LISTED else ""
        return {
            "type": ["string", "number", "null"] if name in self.numeric_texts else ["string", "null"],
            "description": f"A category; null if missing. Categories known from training: {len(known):,}{listed}. Any "
            "other value is accepted and treated as missing.",
            "examples": known[:MAX_LISTED],
            "maxLength": self.max_length(name),
        }


def _value_schema(kind: Kind, accepts_numbers: bool) -> CoreSchema:
    text, number = core.str_schema(strict=True), core.float_schema(strict=True, allow_inf_nan=False)
    if kind == "number":
        return core.nullable_schema(number)
    if kind == "boolean":
        return core.nullable_schema(core.bool_schema(strict=True))
    if accepts_numbers:  # integers stay integers: a float would keep only 15 of their digits
        return core.nullable_schema(core.union_schema([text, core.int_schema(strict=True), number]))
    return core.nullable_schema(text)


def _are_numbers(categories: list[str]) -> bool:
    """Return whether all categories are numbers that keep their text when written again; 00501 does not."""
    try:
        numbers = [float(category) for category in categories]
    except ValueError:
        return False
    return all(map(math.isfinite, numbers)) and as_text(pd.Series(numbers, dtype=float)).tolist() == categories


def numbers_as_texts(values: list[Any]) -> list[str | None]:
    """Return the values of a text column, with numbers written as the categories are."""
    if all(value is None or isinstance(value, str) for value in values):
        return values
    texts = as_text(pd.Series(values, dtype=object))
    return [None if missing else text for text, missing in zip(texts, texts.isna(), strict=True)]
