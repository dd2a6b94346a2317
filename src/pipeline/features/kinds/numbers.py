"""Pass numeric and boolean columns through as features."""

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
    """Numeric and boolean columns; each is one feature.

    Attributes
    ----------
    columns : dict of str to bool
        Whether each column holds numbers (True) or booleans (False).
    """

    key: ClassVar[str] = "numbers"
    columns: dict[str, bool]

    @classmethod
    def fit(cls, training: TrainingRows, settings: Any) -> Self:
        """Take the numeric and boolean columns that no other kind claims."""
        return cls.restore(training.columns, None, {})

    @classmethod
    def restore(cls, columns: RawColumns, state: Any, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Take the unclaimed numeric and boolean columns; this kind stores no state."""
        return cls({name: columns.kinds[name] == "number" for name in columns.unclaimed("number", "boolean")})

    @cached_property
    def features(self) -> list[Feature]:
        """One feature per column."""
        return [Feature(feature_name(name), [name], is_number, name) for name, is_number in self.columns.items()]

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield the values of the columns."""
        names = list(self.columns)
        return (source.numbers(names[index]) for index in indices)

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, indices: Sequence[int]) -> list[str]:
        """Add the values of the columns, cast to float32."""
        names = list(self.columns)
        return [graph.cast(concat(graph, [source.columns[names[index]] for index in indices]), "FLOAT")]
