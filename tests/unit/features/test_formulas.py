import numpy as np
import pytest

from pipeline.errors import FormulaError
from pipeline.features.formulas import columns_of, compute, parse

COLUMNS = {"a": np.array([1.0, 4.0, np.nan]), "b": np.array([2.0, 0.0, 1.0]), "odd name <x>": np.array([9.0, 9.0, 9.0])}


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("a / b", [0.5, np.nan, np.nan]),
        ("-a + 2 * b ** 2 - +1", [6.0, -5.0, np.nan]),
        ("sqrt(a) + sin(b - b) + cos(b - b)", [2.0, 3.0, np.nan]),
        ("log1p(a - 1)", [0.0, np.log(4.0), np.nan]),
        ("`odd name <x>` / (a + b)", [3.0, 2.25, np.nan]),
        ("sqrt(0 - b)", [np.nan, 0.0, np.nan]),
        ("b * 1e39", [np.nan, 0.0, np.nan]),
        ("1e308 * a * 1e308", [np.nan, np.nan, np.nan]),
    ],
)
def test_formulas_compute_nan_where_the_result_is_not_finite(formula: str, expected: list[float]) -> None:
    np.testing.assert_allclose(compute(parse("new", formula), COLUMNS), expected)


def test_columns_are_listed_once_and_without_functions() -> None:
    columns = columns_of(parse("new", "sqrt(a) * a + `odd name <x>` + sqrt(b)"))
    assert sorted(columns) == ["a", "b", "odd name <x>"]


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os').system('true')",
        "a.real",
        "a if b else a",
        "[a for a in b]",
        "a and b",
        "a < b",
        "a % b",
        "a @ b",
        "exp(a)",
        "sqrt(a, b)",
        "sqrt(x=a)",
        "lambda: a",
        "'text'",
        "True",
        "a + 1j",
        "1 + 2",
        "a +",
        "",
        "a; b",
        "a := b",
        "(a, b)",
        "1" + "0" * 400 + " + a",
        "(" * 300 + "a" + ")" * 300,
        "a + " * 500 + "a",
        "f'{a}'",
        "__column0 + `a`",
        "a*1if b else 3",
        "a\x00",
    ],
)
def test_everything_but_arithmetic_over_columns_is_rejected(formula: str) -> None:
    with pytest.raises(FormulaError, match=r"dataset\.derived\.new"):
        parse("new", formula)
