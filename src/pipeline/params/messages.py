"""What is wrong with the content of params.yaml, in words: which key, what it takes, and what it is."""

from datetime import date
from typing import Any, get_args

from pydantic import ValidationError

from pipeline.params.schema import Params
from pipeline.support.section import Section, shown

Key = tuple[int | str, ...]
MOST_PROBLEMS = 5  # that one message tells of
LONGEST_REASON = 600  # characters of a section's own message
# What a key takes, by the type of pydantic's error; names in braces are of its context.
TAKES = {
    "bool_type": "true or false",
    "dict_type": "names, and a value for each",
    "finite_number": "a finite number",
    "float_type": "a number",
    "greater_than": "a number above {gt:.10g}",
    "greater_than_equal": "{ge:.10g} or more",
    "int_type": "a whole number",
    "less_than": "a number below {lt:.10g}",
    "less_than_equal": "at most {le:.10g}",
    "list_type": "a list",
    "literal_error": "{expected}",
    "string_too_short": "text that is not empty",
    "string_type": "text",
    "too_long": "a list of at most {max_length}",
    "too_short": "a list of at least {min_length}",
}


def problems(error: ValidationError, content: dict[Any, Any]) -> list[str]:
    """Return one line for each key that is wrong.

    Parameters
    ----------
    error : ValidationError
        Of `Params`.
    content : dict
        What was validated.
    """
    by_key: dict[Key, list[Any]] = {}
    for problem in error.errors(include_url=False):
        key = _key(problem["loc"], content, problem["type"] == "missing")
        by_key.setdefault(key, []).append(problem)
    lines = [_line(key, found) for key, found in by_key.items()]
    return lines[:MOST_PROBLEMS] + ([f"and {len(lines) - MOST_PROBLEMS} more"] if lines[MOST_PROBLEMS:] else [])


def _line(key: Key, found: list[Any]) -> str:
    """Return the message of a key; several problems are those of the types of a union."""
    (problem, *_), (kind, is_field) = found, _field(key)
    value = problem["input"]
    named = ".".join(str(part)[:100] for part in key) or "params.yaml"
    if problem["type"] == "extra_forbidden":
        return f"{named}: unknown key; known are {_keys(key[:-1])}"
    if problem["type"] == "missing":
        return f"{named}: missing" + (f"; it takes the keys {_keys(key)}" if _is_section(kind) else "")
    if problem["type"] == "invalid_key" or problem["loc"][-1:] == ("[key]",):
        return f"{named}: holds the name {shown(value)}, which is not text: put it in quotes"
    if problem["type"] == "value_error":
        return f"{named}: {str(problem['ctx']['error'])[:LONGEST_REASON]}"
    takes = list(dict.fromkeys(_takes(key, one) for one in found))
    if is_field and type(None) in get_args(kind):
        takes.append("null")
    if "a number" in takes and "a whole number" in takes:
        takes.remove("a whole number")
    words = " or ".join([", ".join(takes[:-1]), takes[-1]] if takes[1:] else takes)
    hint = "; put text in quotes" if "text" in takes and isinstance(value, bool | int | float | date) else ""
    return f"{named}: it takes {words} (it is {_written(value)}{hint})"


def _takes(key: Key, problem: Any) -> str:
    if problem["type"] in ("model_type", "model_attributes_type"):
        return f"a section with the keys {_keys(key)}"
    words = TAKES.get(problem["type"]) or str(problem["msg"]).replace("Input should be ", "")
    return words.format(**problem.get("ctx", {})).replace("'", "")


def _written(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value) if isinstance(value, date) else shown(value)


def _key(location: Key, content: Any, is_missing: bool) -> Key:
    """Return where in the content a problem is, without pydantic's names for what it tried to take a value for."""
    key: list[int | str] = []
    for place, part in enumerate(location):
        inside = isinstance(content, dict) and part in content
        if inside or (isinstance(content, list) and isinstance(part, int)):
            content = content[part]
            key.append(part)
        elif is_missing and place == len(location) - 1:
            key.append(part)
    return tuple(key)


def _field(key: Key) -> tuple[Any, bool]:
    """Return the annotation of the innermost field that a key is in, and whether the key is that field itself."""
    kind: Any = Params
    is_field = False
    for part in key:
        fields = next((_fields(one) for one in (kind, *get_args(kind)) if _is_section(one)), {})
        is_field = part in fields
        kind = fields.get(part, kind)
    return kind, is_field


def _keys(key: Key) -> str:
    """Return the keys of the section at a key."""
    kinds = [_field(key)[0]]
    while not _is_section(kinds[0]):
        kinds = [*get_args(kinds[0]), *kinds[1:]]
    return ", ".join(_fields(kinds[0]))


def _fields(section: type[Section]) -> dict[Any, Any]:
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
