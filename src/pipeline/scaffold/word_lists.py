"""Recognize text columns that hold lists of words, such as genres."""

import pandas as pd

from pipeline.features.kinds.lists import words_of

SEPARATORS = ("|", ";", ",")
SAMPLE = 10_000  # rows to check
MIN_SHARE = 0.3  # of the rows, that have the separator
MIN_ROWS_PER_WORD = 5
MAX_LENGTH = 25  # mean number of characters of a word
MAX_SAME_NUMBER = 0.9  # of the rows, that have the same number of words, as in "Berlin, Germany"


def list_separator(texts: pd.Series) -> str | None:
    """Return the separator of a column of lists, whose words repeat in other combinations; None for other texts.

    Examples
    --------
    >>> list_separator(pd.Series(["Comedy|Drama", "Drama", "Comedy", "Drama|Comedy|War", "War"] * 10))
    '|'
    """
    sample = texts.head(SAMPLE)
    for separator in SEPARATORS:
        if sample.str.contains(separator, regex=False).mean() >= MIN_SHARE:
            return separator if _are_lists(sample, separator) else None
    return None


def _are_lists(texts: pd.Series, separator: str) -> bool:
    lists = [words_of(text, separator) for text in texts]
    words = {word for found in lists for word in found}
    n_words = sum(map(len, lists))
    return (
        len(words) * MIN_ROWS_PER_WORD <= n_words
        and len(words) < texts.nunique()
        and sum(map(len, words)) <= MAX_LENGTH * len(words)
        and any(character.isalpha() for character in "".join(words))
        and pd.Series(map(len, lists)).value_counts(normalize=True).max() <= MAX_SAME_NUMBER
    )
