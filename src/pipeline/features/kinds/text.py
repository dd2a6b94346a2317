"""Turn free text into a few numbers (``features.text``): latent semantic analysis of hashed parts of words.

The runs of three to five characters in each word are hashed and weighted by their rarity (TF-IDF). A truncated
singular value decomposition reduces them to the directions in which the training texts differ most.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotConvertible
from pipeline.features.columns import Kind
from pipeline.features.graph_builder import GraphBuilder, GraphSource
from pipeline.features.kinds.interface import (
    Feature,
    FeatureKind,
    RawColumns,
    TrainingRows,
    feature_name,
    require_columns,
)
from pipeline.features.source import Matrix, Source

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

N_BUCKETS = 2**14
MAX_COMPONENTS = 20  # each is a feature, which training takes longer for
TEXTS_PER_COMPONENT = 20  # fewer components for fewer different texts
MAX_TEXTS = 20_000  # different texts to fit on
PART_LENGTHS = (3, 5)  # characters
CHUNK = 10_000  # texts hashed at a time
MEASURES = ("characters", "words")


@dataclass(frozen=True, eq=False)
class Text(FeatureKind):
    """Components, length and number of words of each text; a missing text is like an empty one.

    Attributes
    ----------
    n_components : dict of str to int
        The number of components of each column.
    weights : dict of str to array of float32, shape (n_buckets,)
        The weight of each hash bucket.
    components : dict of str to array of float32, shape (n_buckets, n_components)
    """

    key: ClassVar[str] = "text"
    learns_from_values: ClassVar[bool] = True
    drift_name: ClassVar[str] = "free_text"
    n_components: dict[str, int]
    weights: dict[str, NDArray[np.float32]]
    components: dict[str, Matrix]

    @classmethod
    def claims(cls, kinds: Mapping[str, Kind], settings: Sequence[str] | None) -> list[str]:
        """Return the columns of free text, which are not one-hot encoded."""
        return list(settings or [])

    @classmethod
    def fit(cls, training: TrainingRows, settings: Sequence[str] | None) -> Self | None:
        """Find the components of each column.

        Raises
        ------
        PipelineError
            If a column is not a text column.
        """
        if not settings:
            return None
        require_columns(cls.key, settings, training.columns, "text")
        weights, components = {}, {}
        for column in settings:
            texts = training.source.texts(column)
            distinct = sorted(texts.distinct[code] for code in np.unique(texts.codes) if code >= 0)
            chosen = np.unique(np.linspace(0, len(distinct) - 1, min(len(distinct), MAX_TEXTS)).astype(np.intp))
            weights[column], components[column] = _fit([distinct[index] for index in chosen])
        return cls({column: found.shape[1] for column, found in components.items()}, weights, components)

    @classmethod
    def restore(
        cls, columns: RawColumns, state: dict[str, int] | None, arrays: Mapping[str, NDArray[Any]]
    ) -> Self | None:
        """Restore the stored arrays, which are missing if no feature of the model needs them."""
        if not state:
            return None
        weights, components = (
            {column: arrays[f"{name}_{number}"].astype(np.float32) for number, column in enumerate(state) if arrays}
            for name in ("weights", "components")
        )
        return cls(state, weights, components)

    def state(self) -> dict[str, int]:
        """Return the number of components of each column."""
        return self.n_components

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights, and the components in 16 bits, to which they are rounded."""
        stored: dict[str, NDArray[Any]] = {}
        for number, column in enumerate(self.n_components):
            stored[f"weights_{number}"] = self.weights[column]
            stored[f"components_{number}"] = self.components[column].astype(np.float16)
        return stored

    @cached_property
    def features(self) -> list[Feature]:
        """The components, length and number of words of each column."""
        return [
            Feature(feature_name(column, *name), [column])
            for column, n in self.n_components.items()
            for name in [*(("text", str(number + 1)) for number in range(n)), *((measure,) for measure in MEASURES)]
        ]

    @cached_property
    def _feature_sources(self) -> list[tuple[str, int]]:
        """The column of each feature, and its position among those of the column."""
        return [(column, position) for column, n in self.n_components.items() for position in range(n + len(MEASURES))]

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield the requested features of each row's text."""
        sources = [self._feature_sources[index] for index in indices]
        for column in dict.fromkeys(column for column, _ in sources):
            texts, positions = source.texts(column), [position for name, position in sources if name == column]
            used = [*texts.distinct, ""]  # the last one for missing values, of code -1
            values = np.empty((len(used), len(positions)), dtype=np.float32)
            for start in range(0, len(used), CHUNK):
                values[start : start + CHUNK] = self._features_of(used[start : start + CHUNK], column, positions)
            yield from values[texts.codes].T

    def _features_of(self, texts: Sequence[str], column: str, positions: Sequence[int]) -> Matrix:
        """Return some features of texts by their positions among those of the column."""
        n_components = self.n_components[column]
        components = [position for position in positions if position < n_components]
        columns: list[NDArray[Any]] = []
        if components:
            matrix = _weighted(_hashed(texts), self.weights[column])
            columns += list((matrix @ np.ascontiguousarray(self.components[column][:, components])).T)
        measures = ([len(text) for text in texts], [len(text.split()) for text in texts])
        columns += [np.array(measures[position - n_components]) for position in positions if position >= n_components]
        return np.column_stack(columns).astype(np.float32)

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, indices: Sequence[int]) -> list[str]:
        """Raise `NotConvertible`: ONNX has no operator that hashes parts of words."""
        raise NotConvertible(
            "the model uses features of free text, for which ONNX has no operators",
            "serve the MLflow model, or remove features.text from params.yaml",
        )


def _fit(texts: Sequence[str]) -> tuple[NDArray[np.float32], Matrix]:
    """Return the weight of each hash bucket, and the components of the weighted texts."""
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    n_components = min(MAX_COMPONENTS, len(texts) // TEXTS_PER_COMPONENT)
    if not n_components:
        return np.ones(N_BUCKETS, np.float32), np.empty((N_BUCKETS, 0), np.float32)
    hashed = _hashed(texts)
    n_texts_with = np.bincount(hashed.indices, minlength=N_BUCKETS)
    # What is in one training text only is like what is in none: otherwise training texts would differ from new ones.
    rarity = np.where(n_texts_with < 2, 0, np.log((1 + len(texts)) / (1 + n_texts_with)) + 1)
    weights = rarity.astype(np.float32)
    with threadpool_limits(1):  # sums depend on the number of threads
        _, _, components = randomized_svd(_weighted(hashed, weights).astype(np.float64), n_components, random_state=0)
    return weights, components.T.astype(np.float16).astype(np.float32)


def _hashed(texts: Sequence[str]) -> "csr_matrix":
    """Return the number of occurrences of parts of words in each text, by hash bucket."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=PART_LENGTHS,
        n_features=N_BUCKETS,
        alternate_sign=False,
        norm=None,
        dtype=np.float32,
    )
    return vectorizer.transform(texts)


def _weighted(hashed: "csr_matrix", weights: NDArray[np.float32]) -> "csr_matrix":
    """Return rows of unit length: the logarithm of each count, multiplied by the weight of its bucket."""
    matrix = hashed.copy()
    matrix.data = (1 + np.log(matrix.data)) * weights[matrix.indices]
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    lengths = np.sqrt(np.bincount(rows, weights=np.square(matrix.data, dtype=np.float64), minlength=matrix.shape[0]))
    matrix.data /= np.where(lengths > 0, lengths, 1)[rows].astype(np.float32)
    return matrix
