"""Formulas of derived columns as ONNX nodes, in 64 bits as `pipeline.features.formulas` computes them."""

import ast
from collections.abc import Mapping

import numpy as np

from pipeline.features.formulas import LARGEST
from pipeline.onnx.graph import Graph

OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "Add",
    ast.Sub: "Sub",
    ast.Mult: "Mul",
    ast.Div: "Div",
    ast.Pow: "Pow",
    ast.UAdd: "Identity",
    ast.USub: "Neg",
}
FUNCTIONS = {"sqrt": "Sqrt", "sin": "Sin", "cos": "Cos"}


def add_formula(graph: Graph, tree: ast.expr, columns: Mapping[str, str]) -> str:
    """Add a parsed formula to `graph`.

    Parameters
    ----------
    graph : Graph
    tree : ast.expr
        From `pipeline.features.formulas.parse`.
    columns : mapping of str to str
        The values of its columns, in double.

    Returns
    -------
    str
        The value, in double; NaN where it is no number of 32 bits.
    """
    value = _value(graph, tree, columns)
    fits = graph.node("LessOrEqual", graph.node("Abs", value), graph.constant(LARGEST))
    return graph.node("Where", fits, value, graph.constant(np.nan))


def _value(graph: Graph, node: ast.expr, columns: Mapping[str, str]) -> str:
    match node:
        case ast.BinOp(left, op, right):
            return graph.node(OPERATORS[type(op)], _value(graph, left, columns), _value(graph, right, columns))
        case ast.UnaryOp(op, operand):
            return graph.node(OPERATORS[type(op)], _value(graph, operand, columns))
        case ast.Call(ast.Name("log1p"), [argument], []):
            return _log1p(graph, _value(graph, argument, columns))
        case ast.Call(ast.Name(function), [argument], []):
            return graph.node(FUNCTIONS[function], _value(graph, argument, columns))
        case ast.Name(column):
            return columns[column]
        case ast.Constant(value) if isinstance(value, int | float):
            return graph.constant(np.float64(value))
    raise AssertionError(f"unchecked formula: {ast.dump(node)}")


def _log1p(graph: Graph, x: str) -> str:
    """Add log(1 + x), which ONNX lacks, so that it is exact for small x.

    With u = 1 + x rounded, x * log(u) / (u - 1) is right to a few units in the last place: the error of log(u)
    cancels against that of u - 1 (W. Kahan; D. Goldberg, "What Every Computer Scientist Should Know About
    Floating-Point Arithmetic", 1991, theorem 4). It is x where u = 1, and log(u) where u = x, infinite x included.
    """
    one = graph.constant(1.0)
    u = graph.node("Add", one, x)
    log = graph.node("Log", u)
    corrected = graph.node("Div", graph.node("Mul", x, log), graph.node("Sub", u, one))
    large = graph.node("Where", graph.node("Equal", u, x), log, corrected)
    return graph.node("Where", graph.node("Equal", u, one), x, large)
