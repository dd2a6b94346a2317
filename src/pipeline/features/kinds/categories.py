"""One-hot encode text columns: one 0/1 feature for each category seen in training."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from pipeline.errors import NotConvertible
from pipeline.features.columns import FLOAT_SUFFIX
from pipeline.features.graph_builder import GraphBuilder, GraphSource
from pipeline.features.kinds.interface import Feature, FeatureKind, RawColumns, TrainingRows, feature_name
from pipeline.features.source import Source


@dataclass(frozen=True, eq=False)
class Categories(FeatureKind):
    """The categories of each text column; an unseen or missing one is 0 in all features of its column."""

    key: ClassVar[str] = "categories"
    categories: dict[str, list[str]]

    @classmethod
    def fit(cls, training: TrainingRows, settings: Any) -> Self | None:
        """Collect the categories of the text columns that no other kind claims."""
        columns = training.columns.unclaimed("text")
        return cls({name: sorted(training.source.texts(name).distinct) for name in columns})

    @classmethod
    def restore(
        cls, columns: RawColumns, state: dict[str, list[str]] | None, arrays: Mapping[str, NDArray[Any]]
    ) -> Self | None:
        """Restore the stored categories."""
        return None if state is None else cls(state)

    def state(self) -> dict[str, list[str]]:
        """Return the categories."""
        return self.categories

    @property
    def known_categories(self) -> dict[str, list[str]]:
        """The categories of each text column."""
        return self.categories

    @cached_property
    def features(self) -> list[Feature]:
        """One feature per category."""
        return [
            Feature(feature_name(column, category), [column], is_number=False)
            for column, categories in self.categories.items()
            for category in categories
        ]

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield 1 where a row has the category, else 0."""
        for column, category_codes in self._codes_by_column(indices).items():
            texts, codes = source.texts(column), self._category_codes(column)
            distinct_codes = [
                codes.get(text, codes.get(text.removesuffix(FLOAT_SUFFIX), -1)) for text in texts.distinct
            ]
            row_codes = texts.look_up(distinct_codes, missing=-1)
            yield from (row_codes == code for code in category_codes)

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, indices: Sequence[int]) -> list[str]:
        """Add one label encoder per column.

        Raises
        ------
        NotConvertible
            If the empty text is a category.
        """
        blocks = []
        for column, category_codes in self._codes_by_column(indices).items():
            if "" in self.categories[column]:
                raise NotConvertible(
                    f"the empty text is a category of column {column!r}, but it means missing in an ONNX graph",
                    "replace it with another text in the table, or serve the MLflow model",
                )
            codes = self._category_codes(column)
            codes = {category + FLOAT_SUFFIX: code for category, code in codes.items()} | codes
            encoded = graph.node(
                "LabelEncoder",
                source.columns[column],
                domain="ai.onnx.ml",
                keys_strings=list(codes),
                values_int64s=list(codes.values()),
                default_int64=-1,
            )
            blocks.append(graph.cast(graph.node("Equal", encoded, graph.constant([category_codes])), "FLOAT"))
        return blocks

    @cached_property
    def _feature_sources(self) -> list[tuple[str, int]]:
        """The column and the category's code for each feature."""
        return [(name, code) for name, values in self.categories.items() for code in range(len(values))]

    def _category_codes(self, column: str) -> dict[str, int]:
        return {category: code for code, category in enumerate(self.categories[column])}

    def _codes_by_column(self, indices: Sequence[int]) -> dict[str, list[int]]:
        """Group features by column; return the category codes for each."""
        codes: dict[str, list[int]] = {}
        for index in indices:
            column, code = self._feature_sources[index]
            codes.setdefault(column, []).append(code)
        return codes
