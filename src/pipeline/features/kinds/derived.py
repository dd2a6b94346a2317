"""Compute derived columns: formulas over numeric columns (``dataset.derived`` in params.yaml)."""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.columns import Kind
from pipeline.features.formulas import FLOAT32_MAX, columns_of, compute, parse
from pipeline.features.graph_builder import GraphBuilder, GraphSource, concat
from pipeline.features.kinds.interface import Feature, FeatureKind, RawColumns, TrainingRows, feature_name
from pipeline.features.source import Source

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


@dataclass(frozen=True, eq=False)
class Derived(FeatureKind):
    """The name and formula of each derived column; each is one feature."""

    key: ClassVar[str] = "derived"
    formulas: dict[str, str]

    @classmethod
    def fit(cls, training: TrainingRows, settings: dict[str, str] | None) -> Self:
        """Check the formulas.

        Raises
        ------
        PipelineError
            If a formula uses a column that does not exist or is not numeric, or a derived column has the name of a
            raw one.
        """
        for name, formula in (settings or {}).items():
            _check(name, formula, training.columns.kinds)
        return cls(dict(settings or {}))

    @classmethod
    def restore(cls, columns: RawColumns, state: dict[str, str], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Restore the stored formulas."""
        return cls(state)

    def state(self) -> dict[str, str]:
        """Return the formulas."""
        return self.formulas

    @cached_property
    def features(self) -> list[Feature]:
        """One feature per formula."""
        trees = {name: parse(name, formula) for name, formula in self.formulas.items()}
        return [Feature(feature_name(name), columns_of(tree), column=name) for name, tree in trees.items()]

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield the values of the formulas."""
        for index, tree in zip(indices, self._trees(indices), strict=True):
            yield compute(tree, {name: source.numbers(name) for name in self.features[index].columns})

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, indices: Sequence[int]) -> list[str]:
        """Add the formulas, computed in float64 and then cast to float32."""
        values = [_add_formula(graph, tree, source.columns) for tree in self._trees(indices)]
        return [graph.cast(concat(graph, values), "FLOAT")]

    def _trees(self, indices: Sequence[int]) -> list[ast.expr]:
        formulas = list(self.formulas.items())
        return [parse(*formulas[index]) for index in indices]


def _check(name: str, formula: str, kinds: Mapping[str, Kind]) -> None:
    if name in kinds:
        raise PipelineError(
            f"dataset.derived.{name} has the name of a column of the table", "give the derived column another name"
        )
    for column in columns_of(parse(name, formula)):
        if column not in kinds:
            raise PipelineError(
                f"dataset.derived.{name} uses {column!r}, which is not an input column",
                f"use one of {', '.join(kind for kind in kinds if kinds[kind] != 'text')}",
            )
        if kinds[column] == "text":
            raise PipelineError(
                f"dataset.derived.{name} uses {column!r}, which holds categories",
                "use only numeric columns in formulas",
            )


def _add_formula(graph: GraphBuilder, tree: ast.expr, columns: Mapping[str, str]) -> str:
    """Add a parsed formula; its value is a double, NaN where it is not a finite float32."""
    value = _value(graph, tree, columns)
    fits = graph.node("LessOrEqual", graph.node("Abs", value), graph.constant(FLOAT32_MAX))
    return graph.node("Where", fits, value, graph.constant(np.nan))


def _value(graph: GraphBuilder, node: ast.expr, columns: Mapping[str, str]) -> str:
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


def _log1p(graph: GraphBuilder, x: str) -> str:
    """Add log(1 + x), which ONNX lacks, accurately for small x.

    With u = fl(1 + x), x * log(u) / (u - 1) is accurate to a few units in the last place because the errors of log(u)
    and u - 1 cancel (W. Kahan; D. Goldberg, "What Every Computer Scientist Should Know About Floating-Point
    Arithmetic", 1991, theorem 4). The result is x where u = 1, and log(u) where u = x, including infinity.
    """
    one = graph.constant(1.0)
    u = graph.node("Add", one, x)
    log = graph.node("Log", u)
    corrected = graph.node("Div", graph.node("Mul", x, log), graph.node("Sub", u, one))
    large = graph.node("Where", graph.node("Equal", u, x), log, corrected)
    return graph.node("Where", graph.node("Equal", u, one), x, large)
