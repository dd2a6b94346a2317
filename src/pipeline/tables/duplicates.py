"""Find duplicate rows without copying the table."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def duplicated(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows equal an earlier row in every column; objects such as lists are compared as text.

    Rows are hashed column by column, with 8 bytes a row; only rows with equal hashes are compared.

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
    hashes: NDArray[np.uint64] = np.zeros(len(table), dtype=np.uint64)
    for name in table.columns:
        hashes *= np.uint64(1_000_003)
        hashes += pd.util.hash_pandas_object(_comparable(table[name]), index=False).to_numpy(np.uint64)
    has_twin = pd.Series(hashes).duplicated(keep=False).to_numpy()
    is_duplicate = np.zeros(len(table), dtype=np.bool_)
    if has_twin.any():
        rows = {name: _comparable(column[has_twin]) for name, column in table.items()}
        is_duplicate[has_twin] = pd.DataFrame(rows).duplicated()
    return is_duplicate


def _comparable(column: pd.Series) -> pd.Series:
    if pd.api.types.is_float_dtype(column.dtype):
        return column + 0.0  # -0.0 equals 0.0 but has a different hash
    return column.map(str) if column.dtype == object else column
