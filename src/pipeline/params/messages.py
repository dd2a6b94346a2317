"""What is wrong with the content of params.yaml, in words: which key, what it takes, and what it is."""

from datetime import date
from functools import cache
from typing import Any

from pydantic import ValidationError

from pipeline.params.schema import Params
from pipeline.support.section import number_hint, shown

Schema = dict[str, Any]
Key = list[int | str]
MOST_PROBLEMS = 5  # that one message tells of
LONGEST_REASON = 600  # characters of a section's own message


def problems(error: ValidationError, content: dict[Any, Any]) -> list[str]:
    """Return one line for each key that is wrong.

    Parameters
    ----------
    error : ValidationError
        Of `Params`.
    content : dict
        What was validated.
    """
    schema = _whole()
    lines = dict.fromkeys(_line(problem, content, schema) for problem in error.errors(include_url=False))
    shortened = list(lines)[:MOST_PROBLEMS]
    return shortened + ([f"and {len(lines) - MOST_PROBLEMS} more"] if len(lines) > MOST_PROBLEMS else [])


@cache
def _whole() -> Schema:
    return Params.model_json_schema(by_alias=True)


def _line(problem: Any, content: dict[Any, Any], schema: Schema) -> str:
    location, value = problem["loc"], problem["input"]
    key = _key(location, content, problem["type"] == "missing")
    named = ".".join(str(part)[:100] for part in key) or "params.yaml"
    if problem["type"] == "extra_forbidden":
        sections = _alternatives(_at(schema, key[:-1]), schema)
        known = next(section["properties"] for section in sections if "properties" in section)
        return f"{named}: unknown key; known are {', '.join(known)}"
    if problem["type"] == "invalid_key" or location[-1:] == ("[key]",):
        return f"{named}: holds the name {shown(value)}, which is not text: put it in quotes"
    takes = in_words(_at(schema, key), schema)
    if problem["type"] == "missing":
        return f"{named}: missing; it takes {takes}"
    if problem["type"] == "value_error":
        reason = problem["msg"].removeprefix("Value error, ")
        return f"{named}: {reason[:LONGEST_REASON]}"
    takes_text = any(option.get("type") == "string" for option in _alternatives(_at(schema, key), schema))
    return f"{named}: it takes {takes} (it is {_told(value, takes_text)})"


def _told(value: object, takes_text: bool) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        told = str(value).lower()
        return f"{told}, as YAML takes yes, no, on and off too; put text in quotes" if takes_text else told
    if takes_text and isinstance(value, int | float | date):
        return f"{value if isinstance(value, date) else shown(value)}; put text in quotes"
    return shown(value) + ("" if takes_text else number_hint(value))


def _key(location: tuple[int | str, ...], content: Any, is_missing: bool) -> Key:
    """Return where in the content a problem is, without pydantic's names for what it tried to take a value for."""
    key: Key = []
    for place, part in enumerate(location):
        inside = isinstance(content, dict) and part in content
        if inside or (isinstance(content, list) and isinstance(part, int)):
            content = content[part]
            key.append(part)
        elif is_missing and place == len(location) - 1:
            key.append(part)
    return key


def _at(schema: Schema, key: Key) -> Schema:
    """Return the schema of what stands at a key."""
    found = schema
    for part in key:
        kinds = {str(one["type"]): one for one in _alternatives(found, schema)}
        if isinstance(part, int) and "array" in kinds:
            found = kinds["array"]["items"]
        else:
            found = kinds["object"].get("properties", {}).get(part) or kinds["object"]["additionalProperties"]
    options = _alternatives(found, schema)
    return options[0] if len(options) == 1 else {**found, "anyOf": options}


def _alternatives(schema: Schema, whole: Schema) -> list[Schema]:
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return [one for option in options for one in _alternatives(option, whole)]
    if "$ref" in schema:
        return [whole["$defs"][schema["$ref"].rpartition("/")[2]]]
    return [schema]


def in_words(schema: Schema, whole: Schema) -> str:
    """Return what a JSON schema, part of a `whole` with its definitions, allows."""
    options = _alternatives(schema, whole)
    if len(options) > 1:
        kinds = [option.get("type") for option in options]
        told = [
            in_words(option, whole) for option in options if not (option.get("type") == "integer" and "number" in kinds)
        ]
        return " or ".join([", ".join(told[:-1]), told[-1]] if told[1:] else told)
    (only,) = options
    if "enum" in only:
        return f"one of {', '.join(map(str, only['enum']))}"
    match only.get("type"):
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "integer":
            return "a whole number" + _bounds(only)
        case "number":
            return "a number" + _bounds(only)
        case "string":
            return str(only.get("description") or ("text" if not only.get("minLength") else "text that is not empty"))
        case "array":
            return f"a list{_lengths(only)}, each {in_words(only['items'], whole)}"
        case "object" if "properties" in only:
            return f"a section with the keys {', '.join(only['properties'])}"
        case "object" if isinstance(only.get("additionalProperties"), dict):
            return f"names, and for each {in_words(only['additionalProperties'], whole)}"
        case "object":
            return "names, and for each a value"
    return "a value"


def _bounds(schema: Schema) -> str:
    words = []
    for name, word in (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to")):
        if name in schema:
            words.append(f"{word} {schema[name]}")
    if "exclusiveMaximum" in schema:
        limit = schema["exclusiveMaximum"]
        words.append(f"to {limit - 1}" if schema["type"] == "integer" else f"below {limit}")
    return "".join(f" {word}" for word in words)


def _lengths(schema: Schema) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if most is not None:
        return f" of {least} to {most}"
    return f" of {least} or more" if least else ""
