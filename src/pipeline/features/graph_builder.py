"""What a kind of feature needs to add its nodes to an ONNX graph; `pipeline.onnx` builds the graph."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class GraphBuilder(Protocol):
    """A graph under construction; values are referred to by their names."""

    def name(self, what: str) -> str:
        """Return a name that no other value has."""

    def node(
        self, operator: str, *inputs: str, into: str = "", outputs: int = 1, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node and return the name of its last output."""

    def constant(self, values: Any) -> str:
        """Add a constant array."""

    def cast(self, value: str, dtype: str, into: str = "") -> str:
        """Convert to ``FLOAT``, ``DOUBLE``, ``INT64`` or ``BOOL``."""

    def within(self) -> "GraphBuilder":
        """Return a graph for a node of this one."""

    def body(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> Any:
        """Return the nodes of `within` as an attribute; inputs and outputs are doubles, given with their lengths."""


@dataclass(frozen=True)
class GraphSource:
    """What features are computed from in a graph.

    Attributes
    ----------
    columns : mapping of str to str
        The value of each raw column, shape (n_rows, 1): double of numbers and booleans, NaN where missing; string of
        texts, the empty one where missing.
    features : callable
        Called with names of features of the kinds before the one that asks; returns their value: float, shape
        (n_rows, n_features).
    """

    columns: Mapping[str, str]
    features: Callable[[Sequence[str]], str]


def concat(graph: GraphBuilder, values: Sequence[str]) -> str:
    """Put columns side by side."""
    return values[0] if len(values) == 1 else graph.node("Concat", *values, axis=1)
