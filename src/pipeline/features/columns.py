"""What a raw column of a table or a request holds, and its values as texts or as numbers."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.formulas import LARGEST

Kind = Literal["number", "boolean", "text"]


def kind_of(column: pd.Series) -> Kind | None:
    """Return what a column holds, or None for what the pipeline does not take (dates, lists, mixed values)."""
    if pd.api.types.is_bool_dtype(column):
        return "boolean"
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return "number"
    if isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(column.dropna()):
        return "text"
    return None


def as_text(column: pd.Series) -> pd.Series:
    """Turn values into text one by one, whole numbers without a decimal point, however pandas happened to read them.

    Returns
    -------
    Series of str
        Missing where the value is missing.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    return column if column.dtype == "str" else column.map(_text, na_action="ignore").astype("str")


def as_numbers(column: pd.Series, kind: Kind) -> NDArray[np.float64]:
    """Return a number or boolean column as numbers, NaN where a value is missing, whatever a request made of it."""
    if kind == "boolean" and not pd.api.types.is_numeric_dtype(column):  # from a request: JSON's true, or its text
        known = as_text(column).str.lower().map({"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0})
        wrong = column[known.isna() & column.notna()]
        if len(wrong):
            raise ValueError(f"column {column.name!r} holds {wrong.iloc[0]!r}, which is neither true nor false")
        column = known
    values = np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    return without_too_large(values)


def without_too_large(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values with NaN for what is infinite in the models' 32 bits, as in derived columns; prepare refuses it."""
    too_large = np.abs(values) > LARGEST
    return np.where(too_large, np.nan, values) if too_large.any() else values


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
