"""Give every part of a table the data types that pandas would infer for the whole table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Types = dict[str, Any]  # data type by column


@dataclass(frozen=True)
class ColumnType:
    """The data type of a column in some rows of a table.

    Attributes
    ----------
    dtype : numpy or pandas data type
    has_missing : bool
        Whether a value is missing.
    is_empty : bool
        Whether all values are missing, so that the data type is arbitrary.
    is_large : bool
        Whether an integer of a CSV file is so large that a float of the same text may be another number.
    """

    dtype: Any
    has_missing: bool
    is_empty: bool = False
    is_large: bool = False


def column_types(table: pd.DataFrame) -> dict[str, ColumnType]:
    """Return the type of each column of a table."""
    types = {}
    for name, column in table.items():
        missing = column.isna().to_numpy()
        is_empty = bool(missing.all()) and column.dtype in (np.dtype(np.float64), np.dtype(object))
        is_integer = isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu"
        is_large = is_integer and len(column) > 0 and max(-int(column.min()), int(column.max())) > 2**53
        types[str(name)] = ColumnType(column.dtype, bool(missing.any()), is_empty, is_large)
    return types


def merge_types(parts: Sequence[Mapping[str, ColumnType]]) -> tuple[Types, dict[str, str]]:
    """Return the data types of the whole table, and types with which columns must be read again.

    A missing value turns whole numbers into floats and booleans into objects, as it does in pandas.

    Parameters
    ----------
    parts : sequence of mapping of str to ColumnType
        The types of the same columns in each part.

    Returns
    -------
    types : dict
    corrections : dict of str to {"str", "float64"}
        For columns with text in one part and numbers in another, or with large integers in one and floats in another.
    """
    types: Types = {}
    corrections = {}
    for name in parts[0]:
        columns = [part[name] for part in parts]
        has_missing = any(column.has_missing for column in columns)
        dtypes = list({str(column.dtype): column.dtype for column in columns if not column.is_empty}.values())
        types[name] = merged = _merge(dtypes or [columns[0].dtype], has_missing)
        if merged is None:
            corrections[name] = "str"
        elif merged.kind == "f" and any(column.is_large for column in columns):
            corrections[name] = "float64"
    return types, corrections


def _merge(dtypes: list[Any], has_missing: bool) -> Any:
    """Return the data type that holds the values of all data types; None if only text does."""
    is_object, is_bool = (
        [check(dtype) for dtype in dtypes] for check in (pd.api.types.is_object_dtype, pd.api.types.is_bool_dtype)
    )
    if all(is_bool):
        return np.dtype(object) if has_missing else np.dtype(bool)
    if any(is_object) and all(np.logical_or(is_object, is_bool)):
        return np.dtype(object)
    if all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in dtypes):
        is_float = has_missing and any(dtype.kind != "f" for dtype in dtypes)
        return np.result_type(*dtypes, *([np.float64] if is_float else []))
    if len(dtypes) == 1:
        return dtypes[0]
    return pd.StringDtype(na_value=np.nan) if all(map(_is_text, dtypes)) else None


def _is_text(dtype: Any) -> bool:
    return isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(dtype)


def with_types(table: pd.DataFrame, types: Types) -> pd.DataFrame:
    """Return a part of a table with the columns and data types of the whole table."""
    columns = {name: _with_type(table[name], dtype) for name, dtype in types.items()}
    return pd.DataFrame(columns, index=table.index, copy=False)


def _with_type(column: pd.Series, dtype: Any) -> pd.Series:
    if column.dtype == dtype or isinstance(dtype, pd.CategoricalDtype):  # each part has its own categories
        return column
    if column.isna().all():
        return pd.Series([None] * len(column), index=column.index, name=column.name, dtype=dtype)
    return column.astype(dtype)
