"""One-hot encode the frequent categories of columns that are encoded by the target (``features.target_encoding``).

A mean tells nothing of what a category does together with other columns, which models learn of frequent categories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from pipeline.features.columns import Texts
from pipeline.features.kinds.categories import Categories
from pipeline.features.kinds.interface import TrainingRows

MAX_FREQUENT = 100  # categories of a column; training takes longer for each, and more made models little better
MIN_ROWS = 20  # of a frequent category


@dataclass(frozen=True, eq=False)
class FrequentCategories(Categories):
    """The frequent categories of each column; any other one is 0 in all features of its column."""

    key: ClassVar[str] = "frequent_categories"
    learns_from_values: ClassVar[bool] = True

    @classmethod
    def fit(cls, training: TrainingRows, settings: Any) -> Self | None:
        """Find the most frequent categories of columns, sorted."""
        if not settings:
            return None
        kinds = training.columns.kinds
        columns: Sequence[str] = [name for name in settings if kinds.get(name) == "text"]
        return cls({name: _frequent(training.source.texts(name)) for name in columns})

    @property
    def known_categories(self) -> dict[str, list[str]]:
        """Return nothing: kind target_encoding knows all categories of these columns."""
        return {}


def _frequent(texts: Texts) -> list[str]:
    counts = np.bincount(texts.codes[texts.codes >= 0], minlength=len(texts.distinct)).tolist()
    frequent = [(-count, text) for count, text in zip(counts, texts.distinct, strict=True) if count >= MIN_ROWS]
    return sorted(text for _, text in sorted(frequent)[:MAX_FREQUENT])
