"""Read and write YAML 1.2 with the library that DVC uses: `1e-3` is a number, `yes` and `1:30` are text."""

from collections.abc import Iterable
from io import StringIO
from typing import Any

MAX_VALUES = 200_000  # including repetitions by aliases
MAX_DEPTH = 100  # nesting levels
MAX_DETAIL_LENGTH = 300  # characters
NEXT_LINE = "\x85"


def read_yaml(text: str) -> Any:
    """Return the value of a YAML document as plain Python values.

    Raises
    ------
    ValueError
        If `text` is not a single YAML document of safe types with unique keys, is nested too deeply, or expands by
        aliases to too many values.

    Examples
    --------
    >>> read_yaml("{rate: 1e-3, stop: yes, at: 1:30}")
    {'rate': 0.001, 'stop': 'yes', 'at': '1:30'}
    """
    yaml = _yaml()
    yaml.composer.warn_double_anchors = False
    try:
        node = yaml.compose(text)
        if _count_values(node, {}) > MAX_VALUES:
            raise ValueError(f"it has more than {MAX_VALUES:,} values after expanding the aliases (`*`)")
        return None if node is None else yaml.constructor.construct_document(node)
    except Exception as error:  # the constructors of dates, numbers and booleans raise any Python error
        raise ValueError(_error_detail(error)) from None


def write_yaml(value: Any) -> str:
    """Return nested dicts, lists and scalars as a YAML document that preserves the order of keys."""
    yaml = _yaml()
    text = _dump(yaml, value)
    if NEXT_LINE in text:  # ruamel.yaml breaks the line there and adds spaces
        yaml.allow_unicode = False
        text = _dump(yaml, value)
    return text


def quote(text: str) -> str:
    """Return a text as a double-quoted YAML scalar on one line."""
    yaml = _yaml()
    yaml.default_style = '"'
    return _dump(yaml, text).rstrip("\n")


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False
    yaml.width = 2**20
    return yaml


def _dump(yaml: Any, value: Any) -> str:
    stream = StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _count_values(node: Any, counts: dict[int, float]) -> float:
    """Return the number of values in a node with its aliases expanded; infinite if the node contains itself."""
    if id(node) not in counts:
        counts[id(node)] = float("inf")
        children: Iterable[Any] = node.value if node is not None and not isinstance(node.value, str) else []
        flat = (item for child in children for item in (child if isinstance(child, tuple) else (child,)))
        counts[id(node)] = 1 + sum(_count_values(item, counts) for item in flat)
    return counts[id(node)]


def _error_detail(error: Exception) -> str:
    from ruamel.yaml.composer import MaxDepthExceededError
    from ruamel.yaml.error import MarkedYAMLError

    if isinstance(error, MaxDepthExceededError):
        return "it is nested too deeply"
    if not isinstance(error, MarkedYAMLError):
        return " ".join(str(error).split())[:MAX_DETAIL_LENGTH]
    detail = ", ".join(part for part in (error.context, error.problem) if part)[:MAX_DETAIL_LENGTH]
    mark = error.problem_mark
    return f"{detail} (line {mark.line + 1}, column {mark.column + 1})" if mark else detail
