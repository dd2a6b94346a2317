"""Parse and compute the formulas of derived columns. They are restricted to arithmetic and never run as code."""

import ast
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import FormulaError

Column = NDArray[np.float64]

OPERATORS: dict[type[ast.AST], Callable[..., Column]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
FUNCTIONS: dict[str, Callable[[Column], Column]] = {
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
}
# XGBoost computes in float32, where a larger number is infinite.
FLOAT32_MAX = float(np.finfo(np.float32).max)
PLACEHOLDER = "__column"
ALLOWED = (
    f"use column names (in `backticks` if not a plain identifier), numbers, + - * / ** ( ) and {', '.join(FUNCTIONS)}"
)
MAX_LENGTH = 1000
MAX_DEPTH = 100  # nested operations; keeps the recursion within Python's stack on every platform


@lru_cache(maxsize=1000)
def parse(name: str, formula: str) -> ast.expr:
    """Parse the formula of derived column `name` and check that it is pure arithmetic.

    Column names that are not valid identifiers must be in backticks, as in pandas' ``query``.

    Parameters
    ----------
    name : str
        Name of the derived column, for error messages.
    formula : str
        For example ``total_rooms / households`` or ``log1p(population)``.

    Returns
    -------
    ast.expr
        The checked syntax tree, for `columns_of` and `compute`.

    Raises
    ------
    FormulaError
        If the formula is not arithmetic over columns.
    """
    where = f"dataset.derived.{name} in params.yaml"
    if PLACEHOLDER in formula:
        raise FormulaError(f"{where} holds the reserved name {PLACEHOLDER}", "rename that column")
    if len(formula) > MAX_LENGTH:
        raise FormulaError(f"{where} is longer than {MAX_LENGTH} characters", "split it into several derived columns")
    quoted: list[str] = []

    def placeholder(match: re.Match[str]) -> str:
        quoted.append(match[1])
        return f" {PLACEHOLDER}{len(quoted) - 1} "

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(re.sub(r"`([^`]+)`", placeholder, formula).strip(), mode="eval").body
        _check(tree, where, MAX_DEPTH)
    except (SyntaxError, ValueError, OverflowError):
        raise FormulaError(f"{where} is not a valid formula: {formula!r}", ALLOWED) from None
    except (RecursionError, MemoryError):
        raise FormulaError(
            f"{where} nests more than {MAX_DEPTH} operations (each term of a long sum counts as one)",
            "split it into several derived columns",
        ) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id.startswith(PLACEHOLDER):
            node.id = quoted[int(node.id.removeprefix(PLACEHOLDER))]
    if not columns_of(tree):
        raise FormulaError(f"{where} uses no column: {formula!r}", "use at least one column in the formula")
    return tree


def columns_of(tree: ast.expr) -> list[str]:
    """Return the columns that a parsed formula uses, without duplicates."""
    functions = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in functions]
    return list(dict.fromkeys(names))


def compute(tree: ast.expr, columns: Mapping[str, Column]) -> Column:
    """Compute a parsed formula.

    Parameters
    ----------
    tree : ast.expr
        The result of `parse`.
    columns : mapping of str to array of float64, shape (n_rows,)
        Must include the columns returned by `columns_of`.

    Returns
    -------
    array of float64, shape (n_rows,)
        NaN where an input is missing or the result is not a finite float32 (such as 1 / 0).
    """
    with np.errstate(all="ignore"):
        values = np.asarray(_value(tree, columns), dtype=np.float64)
        return np.where(np.abs(values) <= FLOAT32_MAX, values, np.nan)


def _check(node: ast.expr, where: str, depth: int) -> None:
    if depth == 0:
        raise RecursionError
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            _check(left, where, depth - 1)
            _check(right, where, depth - 1)
        case ast.UnaryOp(op, operand) if type(op) in OPERATORS:
            _check(operand, where, depth - 1)
        case ast.Call(ast.Name(function), [argument], []) if function in FUNCTIONS:
            _check(argument, where, depth - 1)
        case ast.Name():
            pass
        case ast.Constant(int(value) | float(value)) if type(value) is not bool and np.isfinite(float(value)):
            pass
        case _:
            raise FormulaError(f"{where} holds {ast.unparse(node)!r}, which is not allowed", ALLOWED)


def _value(node: ast.expr, columns: Mapping[str, Column]) -> Column:
    match node:
        case ast.BinOp(left, op, right):
            return OPERATORS[type(op)](_value(left, columns), _value(right, columns))
        case ast.UnaryOp(op, operand):
            return OPERATORS[type(op)](_value(operand, columns))
        case ast.Call(ast.Name(function), [argument], []):
            return FUNCTIONS[function](_value(argument, columns))
        case ast.Name(column):
            return columns[column]
        case ast.Constant(value) if isinstance(value, int | float):
            return np.asarray(value, dtype=np.float64)
    raise AssertionError(f"unchecked formula: {ast.dump(node)}")
