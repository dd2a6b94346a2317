"""Turn ordered categories into numbers (``features.ordered``), in addition to their one-hot encoding."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.columns import FLOAT_SUFFIX
from pipeline.features.graph_builder import GraphBuilder, GraphSource
from pipeline.features.kinds.interface import (
    Feature,
    FeatureKind,
    RawColumns,
    TrainingRows,
    feature_name,
    require_columns,
)
from pipeline.features.source import Source


@dataclass(frozen=True, eq=False)
class Ordered(FeatureKind):
    """The categories of each column from the lowest to the highest; another category is missing."""

    key: ClassVar[str] = "ordered"
    orders: dict[str, list[str]]

    @classmethod
    def fit(cls, training: TrainingRows, settings: dict[str, list[str]] | None) -> Self | None:
        """Take the orders from the settings.

        Raises
        ------
        PipelineError
            If a column does not exist, is not text, or has none of the categories.
        """
        if not settings:
            return None
        require_columns(cls.key, settings, training.columns, "text")
        for name, order in settings.items():
            found = training.source.texts(name).distinct
            if set(order).isdisjoint(found):
                raise PipelineError(
                    f"column {name!r} has none of the categories of features.ordered in params.yaml",
                    f"list its categories, lowest first: {', '.join(found[:20])}",
                )
        return cls(settings)

    @classmethod
    def restore(cls, columns: RawColumns, state: dict[str, list[str]] | None, arrays: Mapping[str, Any]) -> Self | None:
        """Restore the stored orders."""
        return cls(state) if state else None

    def state(self) -> dict[str, list[str]]:
        """Return the orders."""
        return self.orders

    @cached_property
    def features(self) -> list[Feature]:
        """One feature per column."""
        return [Feature(feature_name(name, "order"), [name]) for name in self.orders]

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield the position of each row's category in the order, from 0."""
        for name, positions in self._selected(indices):
            texts = source.texts(name)
            yield texts.look_up([positions.get(text, np.nan) for text in texts.distinct], missing=np.nan)

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, indices: Sequence[int]) -> list[str]:
        """Add one label encoder per column; the empty text means missing in a graph."""
        return [
            graph.node(
                "LabelEncoder",
                source.columns[name],
                domain="ai.onnx.ml",
                keys_strings=[text for text in positions if text],
                values_floats=[float(position) for text, position in positions.items() if text],
                default_float=float("nan"),
            )
            for name, positions in self._selected(indices)
        ]

    def _selected(self, indices: Sequence[int]) -> list[tuple[str, dict[str, int]]]:
        """Return the columns at these indices, with the position of each category, also written as a float."""
        orders = list(self.orders.items())
        return [
            (
                orders[index][0],
                {text + end: place for end in (FLOAT_SUFFIX, "") for place, text in enumerate(orders[index][1])},
            )
            for index in indices
        ]
