"""JSON Schemas, as pydantic and FastAPI write them, in words."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from reference_pages.markdown import code

Schema = Mapping[str, Any]
Link = Callable[[str], str]  # from a schema's name to Markdown
NAMES = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean", "null": "`null`"}
BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
PLURAL = re.compile(r"^(string|integer|number|boolean)\b")
FORMATS = {"path": "path", "password": "string"}


def type_in_words(schema: Schema, link: Link = code) -> str:
    """Return the type and the bounds of a value in Markdown.

    Parameters
    ----------
    schema : mapping
        The schema of the value.
    link : callable
        Returns the Markdown for a reference to a named schema.

    Raises
    ------
    ValueError
        If the schema has a form that this function does not know.
    """
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _joined(list(dict.fromkeys(type_in_words(option, link) for option in schema[key])))
    if "allOf" in schema:
        return " and ".join(type_in_words(part, link) for part in schema["allOf"])
    if "$ref" in schema:
        return link(schema["$ref"].rpartition("/")[2])
    if "enum" in schema or "const" in schema:
        return _joined([code(json.dumps(value).strip('"')) for value in schema.get("enum", [schema.get("const")])])
    match schema.get("type"):
        case "array":
            return _list(schema, link)
        case "object":
            values = schema.get("additionalProperties")
            return f"mapping of string to {type_in_words(values, link)}" if isinstance(values, Mapping) else "mapping"
        case "string" if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        case str(name) if name in NAMES:
            return NAMES[name] + bounds(*(schema.get(key) for key in BOUNDS))
        case None:
            return "any"
    raise ValueError(f"the type of {json.dumps(schema)} is unknown")


def default_in_words(schema: Schema) -> str:
    """Return the default of a property as YAML in a code span, or "required"."""
    return code(json.dumps(schema["default"], ensure_ascii=False)) if "default" in schema else "required"


def bounds(low: float | None, above: float | None, high: float | None, below: float | None) -> str:
    """Return the bounds of a number after its type, such as " from 1 to 256"; None: no such bound."""
    if low is not None and high is not None:
        return f" from {number(low)} to {number(high)}"
    signs = {"≥": low, "&gt;": above, "≤": high, "&lt;": below}
    found = " and ".join(f"{sign} {number(value)}" for sign, value in signs.items() if value is not None)
    return f" {found}" if found else ""


def number(value: float) -> str:
    """Return a number with commas between thousands."""
    return f"{value:,.16g}"


def _list(schema: Schema, link: Link) -> str:
    items = PLURAL.sub(r"\1s", type_in_words(schema.get("items", {}), link))
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if most is not None:
        return f"list of {f'{least} to' if least else 'at most'} {most} {items}"
    return f"{'non-empty ' if least else ''}list of {items}"


def _joined(options: list[str]) -> str:
    return ", ".join(options[:-1]) + (" or " if len(options) > 1 else "") + options[-1]
