"""What a raw column of a table or a request holds, and its values as texts or as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.formulas import LARGEST

Kind = Literal["number", "boolean", "text"]
SUFFIX = ".0"  # a server that met a missing value beside whole numbers sends 10001 as the text 10001.0


@dataclass(frozen=True)
class Texts:
    """The values of a text column.

    Attributes
    ----------
    distinct : list of str
        Each value once.
    codes : array of int, shape (n_rows,)
        The position of each row's value in `distinct`; -1 where it is missing.
    """

    distinct: list[str]
    codes: NDArray[np.intp]

    def __getitem__(self, rows: NDArray[np.intp]) -> Self:
        return type(self)(self.distinct, self.codes[rows])

    def look_up(self, values: Sequence[float], missing: float) -> NDArray[Any]:
        """Return the value of each row, given those of `distinct` and that of a missing text."""
        return np.array([*values, missing])[self.codes]  # -1 is the last


Values = NDArray[np.float64] | Texts


def kinds_of(rows: pd.DataFrame) -> dict[str, Kind]:
    """Return what each column holds.

    Raises
    ------
    PipelineError
        When one holds what the pipeline does not take.
    """
    kinds: dict[str, Kind] = {}
    for name in rows.columns:
        kind = kind_of(rows[name])
        if kind is None:
            raise PipelineError(
                f"column {name!r} is of type {rows[name].dtype}, which is not a feature",
                "add it to dataset.drop in params.yaml, or turn it into a number",
            )
        kinds[str(name)] = kind
    return kinds


def kind_of(column: pd.Series) -> Kind | None:
    """Return what a column holds, or None for what the pipeline does not take (dates, lists, mixed values)."""
    if pd.api.types.is_bool_dtype(column):
        return "boolean"
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return "number"
    if isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(column.dropna()):
        return "text"
    return None


def read_column(column: pd.Series, kind: Kind) -> Values:
    """Return a column of a table as arrays."""
    if kind == "text":
        codes, distinct = pd.factorize(as_text(column))
        return Texts(list(distinct), codes)
    return as_numbers(column, kind)


def read_values(values: Sequence[Any], kind: Kind) -> Values:
    """Return a column of validated values (float, bool or str, None where one is missing) as arrays, without pandas."""
    if kind == "text":
        places: dict[str, int] = {}
        codes = [-1 if value is None else places.setdefault(value, len(places)) for value in values]
        return Texts(list(places), np.array(codes, dtype=np.intp))
    return without_too_large(np.array(values, dtype=np.float64))  # None becomes NaN


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
