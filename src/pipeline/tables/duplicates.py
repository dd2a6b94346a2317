"""Find duplicate rows by hashes of 128 bits, so that rows of different parts need not be compared."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
MULTIPLIERS = np.array([1_000_003, 0x9E3779B97F4A7C15], dtype=np.uint64)
TEXT_KEYS = ("0123456789123456", "6543219876543210")
MISSING = np.uint64(0x5BD1E9955BD1E995)


def row_hashes(table: pd.DataFrame) -> Hashes:
    """Return hashes of the rows: rows that are equal in every column have equal hashes.

    Objects such as lists are compared as text. The probability that any two of n different rows have equal hashes is
    n² / 2^129: 10^-21 for a billion rows.

    Returns
    -------
    array of uint64, shape (2, n_rows)
    """
    hashes: Hashes = np.zeros((2, len(table)), dtype=np.uint64)
    shifted = np.empty(len(table), dtype=np.uint64)  # new memory for each column would take longer than the rest
    for name in table.columns:
        for half, column, multiplier in zip(hashes, _column_hashes(table[name]), MULTIPLIERS, strict=True):
            half ^= column
            half *= multiplier
            half ^= np.right_shift(half, np.uint64(29), out=shifted)
    return hashes


def equal_earlier_row(parts: Sequence[Hashes]) -> NDArray[np.bool_]:
    """Return which rows of a table have the hashes of an earlier row.

    Parameters
    ----------
    parts : sequence of array of uint64, shape (2, n_rows)
        The hashes of consecutive rows.

    Returns
    -------
    array of bool, shape (n,)
        For the rows of all parts.
    """
    has_twin = pd.Series(np.concatenate([part[0] for part in parts])).duplicated(keep=False).to_numpy()
    ends = np.cumsum([part.shape[1] for part in parts])[:-1]
    twins = [part[:, selected] for part, selected in zip(parts, np.split(has_twin, ends), strict=True)]
    is_duplicate = np.zeros(len(has_twin), dtype=np.bool_)
    is_duplicate[has_twin] = pd.DataFrame(np.concatenate(twins, axis=1).T).duplicated()
    return is_duplicate


def duplicated(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows equal an earlier row in every column.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)

    Returns
    -------
    array of bool, shape (n_rows,)

    Examples
    --------
    >>> duplicated(pd.DataFrame({"rooms": [3, 4, 3], "place": ["INLAND", "INLAND", "INLAND"]}))
    array([False, False,  True])
    """
    return equal_earlier_row([row_hashes(table)])


def _column_hashes(column: pd.Series) -> tuple[Hashes, Hashes]:
    if pd.api.types.is_float_dtype(column.dtype):
        column = column + 0.0  # -0.0 equals 0.0 but has a different hash
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufbmM":
        values = pd.util.hash_array(column.to_numpy())  # a bijection of 64 bits: different values, different hashes
        return values, values
    codes, distinct = pd.factorize(column.map(_text, na_action="ignore") if column.dtype == object else column)
    texts = np.asarray(distinct.astype(str), dtype=object)
    first, second = (pd.util.hash_array(texts, hash_key=key, categorize=False) for key in TEXT_KEYS)
    return np.append(first, MISSING)[codes], np.append(second, MISSING)[codes]  # the code of a missing value is -1


def _text(value: object) -> str:
    """Return a text that only equal values have; that of an array would be abbreviated."""
    return repr(_as_list(value)) if isinstance(value, np.ndarray) else repr(value)


def _as_list(array: NDArray[Any]) -> list[Any]:
    return [_as_list(item) if isinstance(item, np.ndarray) else item for item in array.tolist()]
