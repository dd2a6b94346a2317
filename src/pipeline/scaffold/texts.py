"""Decide whether a text column with many different values is free text, a category to encode, or neither."""

from typing import Literal

import pandas as pd

from pipeline.scaffold.text_values import SAMPLE, is_prose

# Below so many rows per value, the mean target of a value is mostly chance, and the feature makes models worse.
MIN_ENCODED_ROWS = 5
MIN_TEXTS = 100  # fewer different texts have nothing in common that could be learned
MIN_LETTERS = 0.75  # share of the characters
MIN_SEVERAL_WORDS = 0.5  # share of the texts


def has_many_rows(n_values: int, n_different: int) -> bool:
    """Return whether the values of a column have enough rows each to encode them by the target."""
    return n_values >= MIN_ENCODED_ROWS * n_different


def feature_of_texts(texts: pd.Series, n_different: int) -> Literal["text", "target_encoding"] | None:
    """Return the key of `FeaturesParams` for a text column with more values than are one-hot encoded.

    Prose is free text. Other values with many rows each are categories. Values with few rows each are free text too, if
    they consist of words, as titles and names do; otherwise they are codes, which nothing can be learned from.

    Parameters
    ----------
    texts : Series of str
        Without missing values.
    n_different : int
        Number of different texts.
    """
    if n_different >= MIN_TEXTS and is_prose(texts):
        return "text"
    if has_many_rows(len(texts), n_different):
        return "target_encoding"
    return "text" if n_different >= MIN_TEXTS and are_words(texts) else None


def are_words(texts: pd.Series) -> bool:
    """Return whether texts consist of words, as titles and names do, unlike codes.

    Examples
    --------
    >>> are_words(pd.Series(["The Third Man", "Metropolis", "M", "Modern Times"]))
    True
    >>> are_words(pd.Series(["A 4711-1", "B 0815-2"])), are_words(pd.Series(["lang@example.com"]))
    (False, False)
    """
    sample = texts.drop_duplicates().head(SAMPLE)
    letters = sample.str.count(r"[^\W\d_]").sum() / max(sample.str.count(r"\S").sum(), 1)
    return bool(letters >= MIN_LETTERS and sample.str.contains(r"\w\s+\w").mean() >= MIN_SEVERAL_WORDS)
