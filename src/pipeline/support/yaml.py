"""YAML 1.2 as DVC reads it, by the same library: `1e-3` is a number, `yes` and `1:30` are text."""

from collections.abc import Iterable
from io import StringIO
from typing import Any

MOST_VALUES = 200_000  # including repetitions by aliases
MOST_LEVELS = 100  # of nesting
LONGEST_DETAIL = 300  # characters
NEXT_LINE = "\x85"


def read_yaml(text: str) -> Any:
    """Return the value of a YAML document as plain Python values.

    Raises
    ------
    ValueError
        When it is not one YAML document of safe types with unique keys, or it is nested too deeply or repeats values
        by aliases without bounds.
    """
    yaml = _yaml()
    yaml.composer.warn_double_anchors = False
    try:
        node = yaml.compose(text)
        if _n_values(node, {}) > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES:,} values, counting each time that `*` repeats values")
        return None if node is None else yaml.constructor.construct_document(node)
    except Exception as error:  # its constructors of dates, numbers and truth values raise whatever Python does
        raise ValueError(_detail(error)) from None


def write_yaml(value: Any) -> str:
    """Return nested dicts, lists and plain values as a YAML document, keys in their order."""
    yaml = _yaml()
    text = _written(yaml, value)
    if NEXT_LINE in text:  # ruamel.yaml folds a text there, and adds spaces
        yaml.allow_unicode = False
        text = _written(yaml, value)
    return text


def quoted(text: str) -> str:
    """Return a text as YAML in double quotes on one line."""
    yaml = _yaml()
    yaml.default_style = '"'
    return _written(yaml, text).rstrip("\n")


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.max_depth = MOST_LEVELS
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 2**20
    return yaml


def _written(yaml: Any, value: Any) -> str:
    stream = StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _n_values(node: Any, known: dict[int, float]) -> float:
    """Return how many values a node stands for, counting repetitions; infinite where a node contains itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        parts: Iterable[Any] = node.value if node is not None and not isinstance(node.value, str) else []
        flat = (one for part in parts for one in (part if isinstance(part, tuple) else (part,)))
        known[id(node)] = 1 + sum(_n_values(one, known) for one in flat)
    return known[id(node)]


def _detail(error: Exception) -> str:
    from ruamel.yaml.composer import MaxDepthExceededError
    from ruamel.yaml.error import MarkedYAMLError

    if isinstance(error, MaxDepthExceededError):
        return "it is nested too deeply"
    if not isinstance(error, MarkedYAMLError):
        return " ".join(str(error).split())[:LONGEST_DETAIL]
    detail = ", ".join(part for part in (error.context, error.problem) if part)[:LONGEST_DETAIL]
    mark = error.problem_mark
    return f"{detail} (line {mark.line + 1}, column {mark.column + 1})" if mark else detail
