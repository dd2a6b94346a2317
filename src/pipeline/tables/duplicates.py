"""Rows that equal an earlier one in every column, found without a copy of the table."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def duplicated(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows equal an earlier one in every column; lists and the like are compared as text.

    Rows are hashed column by column, 8 bytes a row; only those whose hashes agree are compared.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)

    Returns
    -------
    array of bool, shape (n_rows,)
    """
    hashes: NDArray[np.uint64] = np.zeros(len(table), dtype=np.uint64)
    for name in table.columns:
        hashes *= np.uint64(1_000_003)
        hashes += pd.util.hash_pandas_object(_comparable(table[name]), index=False).to_numpy(np.uint64)
    alike = pd.Series(hashes).duplicated(keep=False).to_numpy()
    found = np.zeros(len(table), dtype=np.bool_)
    if alike.any():
        rows = {name: _comparable(column[alike]) for name, column in table.items()}
        found[alike] = pd.DataFrame(rows).duplicated()
    return found


def _comparable(column: pd.Series) -> pd.Series:
    if pd.api.types.is_float_dtype(column.dtype):
        return column + 0.0  # -0.0 equals 0.0, but has another hash
    return column.map(str) if column.dtype == object else column
