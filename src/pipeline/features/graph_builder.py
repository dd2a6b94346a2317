"""The interface through which kinds of features add nodes to an ONNX graph; `pipeline.onnx` implements it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class GraphBuilder(Protocol):
    """An ONNX graph under construction; values are referred to by name."""

    def name(self, what: str) -> str:
        """Return a new, unique name for a value."""

    def node(
        self, operator: str, *inputs: str, into: str = "", outputs: int = 1, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node and return the name of its last output: `into` if given, otherwise a new name."""

    def constant(self, values: Any) -> str:
        """Add a constant array and return its name."""

    def cast(self, value: str, dtype: str, into: str = "") -> str:
        """Add a conversion to ``FLOAT``, ``DOUBLE``, ``INT64`` or ``BOOL`` and return the name of its output."""

    def subgraph(self) -> "GraphBuilder":
        """Return an empty subgraph for an attribute of a node."""

    def body(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> Any:
        """Return this subgraph as the attribute of a node; its inputs and outputs are vectors of doubles, by length."""


@dataclass(frozen=True)
class GraphSource:
    """The inputs of features in a graph.

    Attributes
    ----------
    columns : mapping of str to str
        Name of the value of each raw column, shape (n_rows, 1): a double for numbers and booleans, NaN if missing; a
        string for text, empty if missing.
    features : callable
        ``features(names)`` returns the name of a float value, shape (n_rows, n_features), with features of preceding
        kinds.
    """

    columns: Mapping[str, str]
    features: Callable[[Sequence[str]], str]


def concat(graph: GraphBuilder, values: Sequence[str]) -> str:
    """Concatenate values along the column axis."""
    return values[0] if len(values) == 1 else graph.node("Concat", *values, axis=1)
