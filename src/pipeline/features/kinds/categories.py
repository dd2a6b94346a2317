"""Text columns, one-hot encoded: a column of 0 and 1 for each category met in training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from pipeline.errors import NotConvertible
from pipeline.features.columns import SUFFIX
from pipeline.features.graph_builder import GraphBuilder, GraphSource
from pipeline.features.kinds.interface import Feature, FeatureKind, RawColumns, TrainingRows, feature_name
from pipeline.features.source import Source


@dataclass(frozen=True, eq=False)
class Categories(FeatureKind):
    """The categories of each text column; another one, like a missing one, is 0 in all features."""

    key: ClassVar[str] = "categories"
    categories: dict[str, list[str]]

    @classmethod
    def fit(cls, training: TrainingRows, settings: Any) -> Self:
        """Learn the categories of the text columns that no other kind claims."""
        columns = training.columns.free("text")
        return cls({name: sorted(training.source.texts(name).distinct) for name in columns})

    @classmethod
    def restore(cls, columns: RawColumns, state: dict[str, list[str]], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Take the stored categories."""
        return cls(state)

    def state(self) -> dict[str, list[str]]:
        """Return the categories."""
        return self.categories

    @property
    def known_texts(self) -> dict[str, list[str]]:
        """The categories."""
        return self.categories

    @cached_property
    def features(self) -> list[Feature]:
        """One a category."""
        return [
            Feature(feature_name(column, category), [column], is_number=False)
            for column, categories in self.categories.items()
            for category in categories
        ]

    def compute(self, source: Source, places: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield where each category is, as 0 and 1."""
        for column, positions in self._by_column(places).items():
            texts, known = source.texts(column), self._positions(column)
            found = [known.get(text, known.get(text.removesuffix(SUFFIX), -1)) for text in texts.distinct]
            of_rows = texts.look_up(found, missing=-1)
            yield from (of_rows == position for position in positions)

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, places: Sequence[int]) -> list[str]:
        """Add one encoder a column.

        Raises
        ------
        NotConvertible
            When the empty text is a category.
        """
        blocks = []
        for column, positions in self._by_column(places).items():
            if "" in self.categories[column]:
                raise NotConvertible(
                    f"the empty text is a category of column {column!r}, and means missing in an ONNX graph",
                    "replace it by another text in the table, or serve the MLflow model",
                )
            known = self._positions(column)
            known = {category + SUFFIX: position for category, position in known.items()} | known
            encoded = graph.node(
                "LabelEncoder",
                source.columns[column],
                domain="ai.onnx.ml",
                keys_strings=list(known),
                values_int64s=list(known.values()),
                default_int64=-1,
            )
            blocks.append(graph.cast(graph.node("Equal", encoded, graph.constant([positions])), "FLOAT"))
        return blocks

    @cached_property
    def _sources(self) -> list[tuple[str, int]]:
        """The column and the position of its category, of each feature."""
        return [(name, position) for name, values in self.categories.items() for position in range(len(values))]

    def _positions(self, column: str) -> dict[str, int]:
        return {category: position for position, category in enumerate(self.categories[column])}

    def _by_column(self, places: Sequence[int]) -> dict[str, list[int]]:
        """Return columns with the positions of their categories."""
        found: dict[str, list[int]] = {}
        for place in places:
            column, position = self._sources[place]
            found.setdefault(column, []).append(position)
        return found
