"""Turn validation errors of params.yaml into messages: the key, what it must be, and the value it has."""

from datetime import date
from typing import Any, get_args

from pydantic import ValidationError

from pipeline.params.schema import Params
from pipeline.support.section import Section, short_repr

Key = tuple[int | str, ...]
MAX_PROBLEMS = 5  # in one message
MAX_REASON_LENGTH = 600  # characters of a message that a section's own validator raises
# What a value must be, by the type of pydantic's error; the names in braces come from the error's context.
EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping of names to values",
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
    "too_long": "a list of at most {max_length} items",
    "too_short": "a list of {min_length} or more items",
}


def problems(error: ValidationError, content: dict[Any, Any]) -> list[str]:
    """Return one line for each invalid key, at most `MAX_PROBLEMS`, then how many more there are.

    Parameters
    ----------
    error : ValidationError
        Raised by `Params.model_validate`.
    content : dict
        The content that was validated.
    """
    by_key: dict[Key, list[Any]] = {}
    for problem in error.errors(include_url=False):
        key = _key(problem["loc"], content, problem["type"] == "missing")
        by_key.setdefault(key, []).append(problem)
    lines = [_line(key, key_errors) for key, key_errors in by_key.items()]
    return lines[:MAX_PROBLEMS] + ([f"and {len(lines) - MAX_PROBLEMS} more"] if lines[MAX_PROBLEMS:] else [])


def _line(key: Key, key_errors: list[Any]) -> str:
    """Return the message for a key; pydantic reports one error for each type of a union."""
    (problem, *_), (kind, is_field) = key_errors, _field(key)
    value = problem["input"]
    named = ".".join(str(part)[:100] for part in key) or "params.yaml"
    if problem["type"] == "extra_forbidden":
        return f"{named}: unknown key; known keys are {_keys(key[:-1])}"
    if problem["type"] == "missing":
        return f"{named}: missing" + (f"; its keys are {_keys(key)}" if _is_section(kind) else "")
    if problem["type"] == "invalid_key" or problem["loc"][-1:] == ("[key]",):
        return f"{named}: has the name {short_repr(value)}, which is not text: put it in quotes"
    if problem["type"] == "value_error" and not key:  # about several sections
        return str(problem["ctx"]["error"])[:MAX_REASON_LENGTH]
    if problem["type"] == "value_error":
        return f"{named}: {str(problem['ctx']['error'])[:MAX_REASON_LENGTH]}"
    expected = list(dict.fromkeys(_expected(key, key_error) for key_error in key_errors))
    if is_field and type(None) in get_args(kind):
        expected.append("null")
    if "a number" in expected and "a whole number" in expected:
        expected.remove("a whole number")
    words = " or ".join([", ".join(expected[:-1]), expected[-1]] if expected[1:] else expected)
    hint = "; put text in quotes" if "text" in expected and isinstance(value, bool | int | float | date) else ""
    return f"{named}: must be {words} (it is {_as_yaml(value)}{hint})"


def _expected(key: Key, problem: Any) -> str:
    if problem["type"] in ("model_type", "model_attributes_type"):
        return f"a section with the keys {_keys(key)}"
    words = EXPECTED.get(problem["type"]) or str(problem["msg"]).replace("Input should be ", "")
    return words.format(**problem.get("ctx", {})).replace("'", "")


def _as_yaml(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value) if isinstance(value, date) else short_repr(value)


def _key(location: Key, content: Any, is_missing: bool) -> Key:
    """Return the key of an error in the content: its location without the names of the types that pydantic tried."""
    key: list[int | str] = []
    for depth, part in enumerate(location):
        has_part = isinstance(content, dict) and part in content
        if has_part or (isinstance(content, list) and isinstance(part, int)):
            content = content[part]
            key.append(part)
        elif is_missing and depth == len(location) - 1:
            key.append(part)
    return tuple(key)


def _field(key: Key) -> tuple[Any, bool]:
    """Return the annotation of the innermost field on the path of a key, and whether the key is that field itself."""
    kind: Any = Params
    is_field = False
    for part in key:
        fields = next((_fields(section) for section in (kind, *get_args(kind)) if _is_section(section)), {})
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
