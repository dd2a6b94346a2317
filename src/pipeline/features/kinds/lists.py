"""Turn lists of words, such as genres, into a feature for each frequent word (``features.lists``)."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.features.columns import Kind
from pipeline.features.kinds.interface import (
    Feature,
    FeatureKind,
    RawColumns,
    TrainingRows,
    feature_name,
    require_columns,
)
from pipeline.features.source import Source

MAX_WORDS = 30
MIN_ROWS, MIN_SHARE = 5, 0.01  # of the training rows that have a word


class ListColumn(NamedTuple):
    """The separator of a column's words, and its frequent words, the most frequent first."""

    separator: str
    words: list[str]


@dataclass(frozen=True, eq=False)
class Lists(FeatureKind):
    """The columns with lists; a missing list has no words."""

    key: ClassVar[str] = "lists"
    learns_from_values: ClassVar[bool] = True
    drift_name: ClassVar[str] = "list"
    columns: dict[str, ListColumn]

    @classmethod
    def claims(cls, kinds: Mapping[str, Kind], settings: Mapping[str, Any] | None) -> list[str]:
        """Return the columns with lists."""
        return list(settings or ())

    @classmethod
    def fit(cls, training: TrainingRows, settings: dict[str, str] | None) -> Self | None:
        """Find the frequent words.

        Raises
        ------
        PipelineError
            If a column does not exist or is not text.
        """
        if not settings:
            return None
        require_columns(cls.key, settings, training.columns, "text")
        return cls(
            {
                name: ListColumn(separator, _frequent_words(training.source, name, separator))
                for name, separator in settings.items()
            }
        )

    @classmethod
    def restore(cls, columns: RawColumns, state: dict[str, Any] | None, arrays: Mapping[str, Any]) -> Self | None:
        """Restore the stored words."""
        return cls({name: ListColumn(**column) for name, column in state.items()}) if state else None

    def state(self) -> dict[str, Any]:
        """Return the separators and words."""
        return {name: column._asdict() for name, column in self.columns.items()}

    @cached_property
    def features(self) -> list[Feature]:
        """For each column one feature per frequent word, and the number of words."""
        return [
            Feature(feature_name(name, "number of words" if word is None else word), [name], is_number=word is None)
            for name, word in self._words
        ]

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield 1 where a list has the word, else 0; for the number of words, how many different ones it has."""
        lists: dict[str, list[set[str]]] = {}
        for index in indices:
            name, word = self._words[index]
            texts = source.texts(name)
            if name not in lists:
                lists[name] = [words_of(text, self.columns[name].separator) for text in texts.distinct]
            yield texts.look_up([len(words) if word is None else word in words for words in lists[name]], missing=0)

    @property
    def descriptions(self) -> dict[str, str]:
        """The separator of each column."""
        return {
            name: f"Words, separated by {column.separator!r}; null if missing. Frequent words in training: "
            f"{', '.join(column.words) or 'none'}."
            for name, column in self.columns.items()
        }

    @cached_property
    def _words(self) -> list[tuple[str, str | None]]:
        return [(name, word) for name, column in self.columns.items() for word in (*column.words, None)]


def words_of(text: str, separator: str) -> set[str]:
    """Return the different words of a list.

    Examples
    --------
    >>> sorted(words_of("Comedy| Drama|", "|"))
    ['Comedy', 'Drama']
    """
    return {word for part in text.split(separator) if (word := part.strip())}


def _frequent_words(source: Source, name: str, separator: str) -> list[str]:
    texts, counts = source.texts(name), Counter[str]()
    n_rows = np.bincount(texts.codes + 1, minlength=len(texts.distinct) + 1)[1:].tolist()
    for text, n in zip(texts.distinct, n_rows, strict=True):
        for word in words_of(text, separator):
            counts[word] += n
    enough = max(MIN_ROWS, MIN_SHARE * source.n_rows)
    ranked = sorted((-n, word) for word, n in counts.items() if n >= enough)
    return [word for _, word in ranked[:MAX_WORDS]]
