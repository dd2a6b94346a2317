"""Encode the categories of columns with many values by the target (``features.target_encoding``).

A category becomes the mean target of its training rows, drawn towards the mean of all rows if it has few of them, and
its share of the rows. An unseen category has the mean of all rows; missing values are a category of their own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotConvertible
from pipeline.features.columns import FLOAT_SUFFIX, Kind, Texts
from pipeline.features.graph_builder import GraphBuilder, GraphSource
from pipeline.features.kinds.interface import (
    Feature,
    FeatureKind,
    RawColumns,
    Target,
    TrainingRows,
    feature_name,
    require_columns,
)
from pipeline.features.source import Matrix, Source

MAX_CLASSES = 10  # of more classes, the most frequent ones: each is a feature of every column
MAX_ROWS = 1_000_000  # rows to learn from, which are in memory


@dataclass(frozen=True, eq=False)
class TargetEncoding(FeatureKind):
    """The mean target and the share of the rows of each category.

    Attributes
    ----------
    categories : dict of str to list of str
        The categories of each encoded column, sorted.
    names : list of str
        Names of the target: one for a regression or binary classification, otherwise one per class.
    tables : list of array of float32, shape (n_categories + 2, n_names + 1)
        For each column the means and the share of each category, then of missing values, then of unseen categories.
    """

    key: ClassVar[str] = "target_encoding"
    sees_target: ClassVar[bool] = True
    categories: dict[str, list[str]]
    names: list[str]
    tables: list[Matrix]

    @classmethod
    def claims(cls, kinds: Mapping[str, Kind], settings: Sequence[str] | Mapping[str, Any] | None) -> list[str]:
        """Return the encoded columns, of which only frequent categories are one-hot encoded."""
        return list(settings["categories"] if isinstance(settings, Mapping) else settings or [])

    @classmethod
    def fit(cls, training: TrainingRows, settings: Sequence[str] | None) -> Self | None:
        """Compute the means and shares.

        Raises
        ------
        PipelineError
            If a column is not a categorical input column.
        """
        if not settings:
            return None
        assert training.target is not None
        require_columns(cls.key, settings, training.columns, "text")
        target = _frequent_classes(training.target)
        texts = {column: training.source.texts(column) for column in settings}
        return cls(
            {column: sorted(texts[column].distinct) for column in settings},
            target.names,
            [_table(texts[column], target.values) for column in settings],
        )

    @classmethod
    def max_rows(cls, settings: Any) -> int:
        """Return `MAX_ROWS`."""
        return MAX_ROWS

    @classmethod
    def restore(cls, columns: RawColumns, state: Any, arrays: Mapping[str, NDArray[Any]]) -> Self | None:
        """Restore the stored tables; without them, if no feature of the model needs them."""
        return cls(**state, tables=[arrays[name] for name in sorted(arrays)]) if state else None

    def state(self) -> dict[str, Any]:
        """Return the categories and the names of the target."""
        return {"categories": self.categories, "names": self.names}

    def arrays(self) -> dict[str, Matrix]:
        """Return the tables."""
        return {f"table_{number:05d}": table for number, table in enumerate(self.tables)}

    @property
    def known_categories(self) -> dict[str, list[str]]:
        """The categories of each encoded column."""
        return self.categories

    @cached_property
    def features(self) -> list[Feature]:
        """One mean for each name of the target, and the share, of each column."""
        parts = [*(("mean", name) for name in self.names), ("share",)]
        return [Feature(feature_name(column, *names), [column]) for column in self.categories for names in parts]

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield the mean or share of each row's category."""
        for number, features in self._features_by_column(indices).items():
            column = list(self.categories)[number]
            texts, codes, n = source.texts(column), self._codes[column], len(self.categories[column])
            distinct = [codes.get(text, codes.get(text.removesuffix(FLOAT_SUFFIX), n + 1)) for text in texts.distinct]
            yield from self.tables[number][texts.look_up(distinct, missing=n)][:, features].T

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, indices: Sequence[int]) -> list[str]:
        """Add one label encoder per column, which gives the row of its table.

        Raises
        ------
        NotConvertible
            If the empty text is a category.
        """
        blocks = []
        for number, features in self._features_by_column(indices).items():
            column = list(self.categories)[number]
            codes, n = self._codes[column], len(self.categories[column])
            if "" in codes:
                raise NotConvertible(
                    f"the empty text is a category of column {column!r}, but it means missing in an ONNX graph",
                    "replace it with another text in the table, or serve the MLflow model",
                )
            codes = {category + FLOAT_SUFFIX: code for category, code in codes.items()} | codes | {"": n}
            encoded = graph.node(
                "LabelEncoder",
                source.columns[column],
                domain="ai.onnx.ml",
                keys_strings=list(codes),
                values_int64s=list(codes.values()),
                default_int64=n + 1,
            )
            table = graph.constant(np.ascontiguousarray(self.tables[number][:, features]))
            blocks.append(graph.node("Squeeze", graph.node("Gather", table, encoded, axis=0), graph.constant([1])))
        return blocks

    @cached_property
    def _codes(self) -> dict[str, dict[str, int]]:
        """The row of each category in its column's table."""
        return {name: {text: code for code, text in enumerate(texts)} for name, texts in self.categories.items()}

    def _features_by_column(self, indices: Sequence[int]) -> dict[int, list[int]]:
        """Group features by the number of their column; return their positions in its table."""
        features: dict[int, list[int]] = {}
        for index in indices:
            number, feature = divmod(index, len(self.names) + 1)
            features.setdefault(number, []).append(feature)
        return features


def _frequent_classes(target: Target) -> Target:
    """Return the target or, of a multiclass one, its most frequent classes."""
    if len(target.names) <= MAX_CLASSES:
        return target
    counts = target.values.sum(axis=0) if target.counts is None else target.counts
    frequent = np.sort(np.argsort(-counts, kind="stable")[:MAX_CLASSES])
    return Target([target.names[index] for index in frequent], target.values[:, frequent])


def _table(texts: Texts, values: NDArray[np.float64]) -> Matrix:
    """Return the means and the share of each category in sorted order, of missing values and of unseen categories."""
    n_rows, n_categories = len(texts.codes), len(texts.distinct)
    ranks = np.empty(n_categories + 1, dtype=np.intp)
    ranks[sorted(range(n_categories), key=texts.distinct.__getitem__)] = np.arange(n_categories)
    ranks[-1] = n_categories  # of code -1, a missing value
    codes = ranks[texts.codes]
    counts = np.bincount(codes, minlength=n_categories + 2)
    means = [_smoothed_means(codes, counts, column) for column in values.reshape(n_rows, -1).T]
    return np.column_stack([*means, counts / max(n_rows, 1)]).astype(np.float32)


def _smoothed_means(
    codes: NDArray[np.intp], counts: NDArray[np.intp], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean of each category, drawn towards the mean of all rows (empirical Bayes).

    The mean of `n` rows has the weight ``n / (n + m)``, where ``m`` is the variance within categories divided by that
    between them, as estimated by an analysis of variance.
    """
    n_rows, n_present = len(values), np.count_nonzero(counts)
    if n_present < 2 or n_rows == n_present:
        return np.full(len(counts), values.mean() if n_rows else 0.0)
    mean = values.mean()
    differences = values - mean
    sums = np.bincount(codes, weights=differences, minlength=len(counts))
    squares = np.square(sums) / np.maximum(counts, 1)
    within = (np.square(differences).sum() - squares.sum()) / (n_rows - n_present)
    rows_per_category = (n_rows - np.square(counts, dtype=np.float64).sum() / n_rows) / (n_present - 1)
    between = (squares.sum() / (n_present - 1) - within) / rows_per_category
    if between <= 0:  # the categories differ no more than by chance
        return np.full(len(counts), mean)
    return np.asarray(mean + sums / np.maximum(counts + max(within, 0) / between, 1e-9), dtype=np.float64)
