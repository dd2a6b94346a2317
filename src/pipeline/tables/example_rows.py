"""Make rows from which the features of a table can be named, without reading it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd


def example_rows(types: Mapping[str, str], categories: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return rows of a table from which its features can be named: with all categories, and any numbers.

    Parameters
    ----------
    types : mapping of str to str
        Data type of each input column.
    categories : mapping of str to sequence of str
    """
    n_rows = max((len(values) for values in categories.values()), default=0) + 1
    columns = {
        name: [*categories.get(name, []), *[None] * (n_rows - len(categories.get(name, [])))]
        if dtype == "str"
        else np.zeros(n_rows)
        for name, dtype in types.items()
    }
    return pd.DataFrame({name: pd.Series(values, dtype=types[name]) for name, values in columns.items()})
