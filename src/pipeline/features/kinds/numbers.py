"""Number and boolean columns, each a feature as it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from pipeline.features.graph_builder import GraphBuilder, GraphSource, concat
from pipeline.features.kinds.interface import Feature, FeatureKind, RawColumns, TrainingRows, feature_name
from pipeline.features.source import Source


@dataclass(frozen=True, eq=False)
class Numbers(FeatureKind):
    """Columns that are features each.

    Attributes
    ----------
    columns : dict of str to bool
        Whether each column holds numbers, and not booleans.
    """

    key: ClassVar[str] = "numbers"
    columns: dict[str, bool]

    @classmethod
    def fit(cls, training: TrainingRows, settings: Any) -> Self:
        """Take the number and boolean columns that no other kind claims."""
        return cls.restore(training.columns, None, {})

    @classmethod
    def restore(cls, columns: RawColumns, state: Any, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Take the columns of training; nothing more is stored."""
        return cls({name: columns.kinds[name] == "number" for name in columns.free("number", "boolean")})

    @cached_property
    def features(self) -> list[Feature]:
        """One a column."""
        return [Feature(feature_name(name), [name], is_number, name) for name, is_number in self.columns.items()]

    def compute(self, source: Source, places: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield the values."""
        names = list(self.columns)
        return (source.numbers(names[place]) for place in places)

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, places: Sequence[int]) -> list[str]:
        """Add the values, in 32 bits."""
        names = list(self.columns)
        return [graph.cast(concat(graph, [source.columns[names[place]] for place in places]), "FLOAT")]
