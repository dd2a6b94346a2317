"""YAML round trips: the pipeline and DVC read the same values, including everything that the pipeline writes."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from dvc.utils.serialize import loads_yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.scaffold.params_yaml import as_yaml
from pipeline.support.yaml import MAX_DEPTH, quote, read_yaml, write_yaml

BOUNDED = settings(derandomize=True, database=None, deadline=None, max_examples=300)
READERS = pytest.mark.parametrize("read", [read_yaml, loads_yaml])
# Texts that YAML 1.1 or 1.2 reads as another type when unquoted, and texts with special characters.
AMBIGUOUS_TEXTS = [
    "yes", "no", "on", "off", "y", "true", "False", "NULL", "null", "~", "", "1e-3", "1.5E+3", "1_000", "0o17", "017",
    "0x1F", "0b11", "1:30", "190:20:30", ".inf", "-.Inf", ".NaN", "2026-01-31", "2026-01-31T10:00:00Z", "<<", "=", "-",
    "? a", ": b", "a: b", "a #b", "# a", "&a", "*a", "!a", "|", ">", "%a", "@a", "`a`", "'a'", '"a"', "[a]", "{a}",
    "---", "...", " a", "a ", "a\nb", "\n", "\t", "a\tb", "a\x85b", "a\u2028b", "\ufeffa", "\x00", "\x7f", "\ud800",
    "😀", "é" * 300, "a, b", "a\\b",
]  # fmt: skip
texts = (
    st.sampled_from(AMBIGUOUS_TEXTS)
    | st.text(max_size=30)
    | st.text(st.sampled_from("01234567890._eExob+-:~"), max_size=8)
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


def is_same(actual: Any, expected: Any) -> bool:
    """Return whether two nested values are equal in value, type and order of keys; NaN equals NaN."""
    if type(actual) is not type(expected):
        return False
    if isinstance(actual, dict):
        return is_same(list(actual.items()), list(expected.items()))
    if isinstance(actual, list | tuple):
        return len(actual) == len(expected) and all(map(is_same, actual, expected))
    return bool(actual == expected) or (isinstance(actual, float) and math.isnan(actual) and math.isnan(expected))


@READERS
@BOUNDED
@given(value=values)
@example(value=AMBIGUOUS_TEXTS)
@example(value={text: 0 for text in AMBIGUOUS_TEXTS})
@example(value=[1e-05, 1e22, 1e300, -0.0, 0.1, 10**30, -1])
def test_written_values_are_read_back_unchanged(read: Callable[[str], Any], value: Any) -> None:
    assert is_same(read(write_yaml({"value": value})), {"value": value})


@READERS
@BOUNDED
@given(text=texts)
@pytest.mark.parametrize("write", [quote, as_yaml])
def test_text_is_written_on_one_line_and_read_back(
    read: Callable[[str], Any], write: Callable[[str], str], text: str
) -> None:
    assert "\n" not in write(text)
    assert read(f"- {write(text)}  # comment\n- a: {write(text)}") == [text, {"a": text}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", 0.001), ("1E+3", 1000.0), ("1_000", 1000), ("0o17", 15), ("012", 12), ("0x1F", 31), ("+1", 1),
        ("yes", "yes"), ("on", "on"), ("1:30", "1:30"), ("true", True), ("~", None), ("null", None), ("", None),
        (".inf", math.inf), (".5", 0.5), ("'1'", "1"), ("{a: [1, 2.0, b]}", {"a": [1, 2.0, "b"]}),
        ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
    ],
)  # fmt: skip
def test_values_are_plain_python_and_match_dvc(text: str, expected: object) -> None:
    assert is_same(read_yaml(f"value: {text}"), {"value": expected})
    assert is_same(loads_yaml(f"value: {text}"), {"value": expected})


@BOUNDED
@given(st.text(st.sampled_from("ab:-{}[]&*!|>'\"%@`, \n#?0123.eE~<=\\_xo"), max_size=40))
def test_any_document_is_read_like_dvc_or_rejected(text: str) -> None:
    try:
        value = read_yaml(text)
    except ValueError:
        return
    assert repr(value) == repr(loads_yaml(text))


def test_an_anchor_can_be_redefined() -> None:
    assert read_yaml("a: &x 1\nb: &x 2\nc: *x") == {"a": 1, "b": 2, "c": 2}


def test_nesting_depth_is_limited() -> None:
    assert read_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_yaml("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
