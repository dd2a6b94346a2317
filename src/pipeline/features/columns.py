"""Infer the kind of a raw column (number, boolean, text) and read its values as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.formulas import FLOAT32_MAX

Kind = Literal["number", "boolean", "text"]
FLOAT_SUFFIX = (
    ".0"  # pandas turns whole numbers beside missing values into floats, so a client sends 10001 as "10001.0"
)


@dataclass(frozen=True)
class Texts:
    """The values of a text column, dictionary-encoded.

    Attributes
    ----------
    distinct : list of str
        The distinct values.
    codes : array of int, shape (n_rows,)
        Index of each row's value in `distinct`; -1 if missing.
    """

    distinct: list[str]
    codes: NDArray[np.intp]

    def __getitem__(self, rows: NDArray[np.intp]) -> Self:
        return type(self)(self.distinct, self.codes[rows])

    @property
    def used(self) -> list[str]:
        """The distinct values that rows have."""
        return [self.distinct[code] for code in np.unique(self.codes) if code >= 0]

    def look_up(self, values: Sequence[float], missing: float) -> NDArray[Any]:
        """Map each row to the number given for its text in `distinct`, or to `missing`."""
        return np.array([*values, missing])[self.codes]  # code -1 selects the last element


Values = NDArray[np.float64] | Texts


def infer_kinds(rows: pd.DataFrame) -> dict[str, Kind]:
    """Return the kind of each column.

    Raises
    ------
    PipelineError
        If a column has a type that cannot be a feature.
    """
    kinds: dict[str, Kind] = {}
    for name in rows.columns:
        kind = infer_kind(rows[name])
        if kind is None:
            raise PipelineError(
                f"column {name!r} is of type {rows[name].dtype}, which cannot be used as a feature",
                "add it to dataset.drop in params.yaml, or convert it to a number",
            )
        kinds[str(name)] = kind
    return kinds


def infer_kind(column: pd.Series) -> Kind | None:
    """Return the kind of a column, or None if it cannot be a feature (dates, lists, mixed types).

    Examples
    --------
    >>> infer_kind(pd.Series([1.5, None])), infer_kind(pd.Series(["NEAR BAY", None]))
    ('number', 'text')
    """
    if pd.api.types.is_bool_dtype(column):
        return "boolean"
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return "number"
    if isinstance(column.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(column.dropna()):
        return "text"
    return None


def read_column(column: pd.Series, kind: Kind) -> Values:
    """Read a column of a table as numbers or as `Texts`."""
    if kind == "text":
        codes, distinct = pd.factorize(as_text(column))
        return Texts(list(distinct), codes)
    return as_numbers(column, kind)


def read_values(values: Sequence[Any], kind: Kind) -> Values:
    """Read validated values (float, bool, str or None) as numbers or as `Texts`, without the overhead of pandas."""
    if kind == "text":
        code_by_text: dict[str, int] = {}
        codes = [-1 if value is None else code_by_text.setdefault(value, len(code_by_text)) for value in values]
        return Texts(list(code_by_text), np.array(codes, dtype=np.intp))
    return overflow_to_nan(np.array(values, dtype=np.float64))  # None becomes NaN


def as_text(column: pd.Series) -> pd.Series:
    """Convert values to text, whole numbers without a decimal point even if pandas read them as floats.

    Returns
    -------
    Series of str
        Missing values stay missing.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if pd.api.types.is_datetime64_any_dtype(column):
        codes, times = pd.factorize(column)  # writing a time takes a microsecond or two
        texts = pd.Series(times.map(str), dtype="str").reindex(codes)
        return pd.Series(texts.to_numpy(), index=column.index, name=column.name, dtype="str")
    return column if column.dtype == "str" else column.map(_format_value, na_action="ignore").astype("str")


def as_numbers(column: pd.Series, kind: Kind) -> NDArray[np.float64]:
    """Return a numeric or boolean column as float64, NaN where a value is missing.

    Raises
    ------
    ValueError
        If a value of a boolean column is not a boolean, 0, 1 or their text.
    """
    if kind == "boolean" and not pd.api.types.is_numeric_dtype(column):  # requests send booleans as objects or text
        numbers = as_text(column).str.lower().map({"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0})
        invalid = column[numbers.isna() & column.notna()]
        if len(invalid):
            raise ValueError(f"column {column.name!r} holds {invalid.iloc[0]!r}, which is neither true nor false")
        column = numbers
    values = np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    return overflow_to_nan(values)


def overflow_to_nan(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace values that overflow float32 with NaN, as derived columns do; stage prepare rejects them in a table."""
    too_large = np.abs(values) > FLOAT32_MAX
    return np.where(too_large, np.nan, values) if too_large.any() else values


def _format_value(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
