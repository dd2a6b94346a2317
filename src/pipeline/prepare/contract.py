"""Validate an input table against a pandera schema, and report the first violation in words."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.errors import TableError
from pipeline.features.columns import as_text, infer_kind
from pipeline.features.formulas import FLOAT32_MAX
from pipeline.params.schema import DatasetParams, FeaturesParams
from pipeline.support.section import short_repr

if TYPE_CHECKING:
    from pandera.pandas import Column

# Squared errors of the target must stay finite in the 32-bit floats of XGBoost.
LARGEST_TARGET = 1e18
PLAIN = (bool, str, int, float, date)  # types that a column of mixed types may hold; times are dates
MAX_LIST_LENGTH = 1000  # characters of column names in a message
FEWER_CATEGORIES = (
    "add it to dataset.drop or to a key of features (dates, target_encoding, lists, text), or raise "
    "dataset.max_categories, in params.yaml"
)


def selected_columns(columns: Sequence[str], params: DatasetParams, features: FeaturesParams) -> list[str]:
    """Return the input columns, the target and the split column of a table, after checking that they exist.

    Raises
    ------
    TableError
        When params.yaml names a column that the table does not have, or no column is left to predict from.
    """
    named = {
        "dataset.target": [params.target],
        "dataset.drop": params.drop,
        "dataset.categorical": params.categorical or [],
        "dataset.split.column": [params.split.column] if params.split.column else [],
    } | {f"features.{key}": names for key, names in features.columns.items()}
    for key, names in named.items():
        for name in names:
            if name not in columns:
                first_columns = ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
                raise TableError(
                    f"{params.path} has no column {name!r}, which {key} in params.yaml names",
                    f"name one of its {len(columns)} columns: {first_columns[:MAX_LIST_LENGTH]}",
                )
    dropped = set(params.drop) - {params.split.column}
    kept = [name for name in columns if name not in dropped]
    if not set(kept) - {params.target, *params.excluded_columns}:
        raise TableError(f"{params.path} has no column left to predict from", "drop fewer columns in params.yaml")
    return kept


def convert_types(
    table: pd.DataFrame, columns: Sequence[str], params: DatasetParams, row_name: Callable[[int], str]
) -> pd.DataFrame:
    """Return a part of a table with each column converted to the data type of its kind.

    Parameters
    ----------
    table : DataFrame
        The index is each row's position in the table.
    columns : sequence of str
        The `selected_columns`.
    params : DatasetParams
    row_name : callable
        Returns how a message names the row at a position.

    Returns
    -------
    DataFrame, shape (n_rows, n_columns)
        Numeric columns are float64, boolean columns bool, categorical columns text, and so are dates, in ISO format.
        The target is float64 for regression and text for classification.

    Raises
    ------
    TableError
        If a value has a type that cannot be converted.
    """
    return pd.DataFrame({name: convert_column(table[name], params, row_name) for name in columns}, copy=False)


def check_contract(
    table: pd.DataFrame, params: DatasetParams, row_name: Callable[[int], str], encoded: frozenset[str]
) -> None:
    """Validate a part of a table from `convert_types`.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
    params : DatasetParams
    row_name : callable
        Returns how a message names the row at a position.
    encoded : frozenset of str
        The `FeaturesParams.encoded_columns`.

    Raises
    ------
    TableError
        For the first violation, with its column, row (counted from 1 below the header), value and fix.
    """
    import pandera.pandas as pa

    # pandera needs a millisecond a column, too much for thousands of numeric columns: it gets the invalid ones only.
    schema = pa.DataFrameSchema(
        {
            name: _contract_of(column, params, name in encoded)
            for name, column in table.items()
            if not _is_valid_number(column, params)
        }
    )
    try:
        schema.validate(table, lazy=True, inplace=True)
    except pa.errors.SchemaErrors as errors:
        raise _violation(errors.failure_cases.iloc[0], table, params, row_name) from None


def check_parts(n_values: Mapping[str, int], n_categories: Mapping[str, int], params: DatasetParams) -> None:
    """Validate what only all parts of a table show.

    Parameters
    ----------
    n_values : mapping of str to int
        The number of present values of each column.
    n_categories : mapping of str to int
        The number of different values of each categorical column.

    Raises
    ------
    TableError
        If a column has no values, or a categorical column too many different ones.
    """
    for name, n in n_values.items():
        if not n and name not in params.excluded_columns:
            fix = "set dataset.target to another column" if name == params.target else "add it to dataset.drop"
            raise TableError(f"{params.path}: column {name!r} has no values", f"{fix} in params.yaml")
    for name, n in n_categories.items():
        if n > params.max_categories:
            raise TableError(f"{params.path}: column {name!r} {_too_many(n, params)}", FEWER_CATEGORIES)


def convert_column(column: pd.Series, params: DatasetParams, row_name: Callable[[int], str]) -> pd.Series:
    """Return a column converted to the data type of its kind; the contract checks the result."""
    kind = infer_kind(column)
    if column.name == params.target:
        if params.task == "classification":
            _check_plain(column, (*PLAIN, Decimal), params, row_name)
            return as_text(column)
        return _as_target(column)
    if column.name in params.excluded_columns:  # only needed for the split
        return as_text(column) if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == object else column
    if column.name in (params.categorical or []) or kind == "text":
        return as_text(column)
    if kind == "number":
        return column.astype("float64")
    if kind == "boolean":
        return as_text(column) if column.isna().any() else column.astype("bool")
    _check_plain(column, PLAIN, params, row_name)
    return as_text(column)


def _as_target(column: pd.Series) -> pd.Series:
    """Return the target of a regression as float64, or as objects if a value is not a number."""
    values = column.astype(object) if infer_kind(column) not in ("number", "boolean") else column
    try:
        return values.astype("float64")
    except (TypeError, ValueError):
        return values


def _check_plain(
    column: pd.Series, allowed: tuple[type, ...], params: DatasetParams, row_name: Callable[[int], str]
) -> None:
    """Raise unless all values of an object column have allowed types."""
    if infer_kind(column) is not None or pd.api.types.is_datetime64_any_dtype(column):
        return
    values = column.dropna()
    for row, value in zip(values.index, values, strict=True):
        if not isinstance(value, allowed):
            raise TableError(
                f"{params.path}: column {column.name!r} holds {type(value).__name__} values, which are neither numbers "
                f"nor text: {row_name(row)} is {short_repr(str(value))}",
                "add the column to dataset.drop in params.yaml, or write its values as numbers, dates or text",
            )


def _is_valid_number(column: pd.Series, params: DatasetParams) -> bool:
    """Return whether a column is a numeric input that meets the contract, without pandera."""
    if column.name == params.target or column.name in params.excluded_columns or column.dtype != np.float64:
        return False
    values = column.to_numpy()  # their minimum and maximum are NaN if all are missing
    return not (np.fmin.reduce(values) < -FLOAT32_MAX or np.fmax.reduce(values) > FLOAT32_MAX)


def _contract_of(column: pd.Series, params: DatasetParams, is_encoded: bool) -> "Column":
    import pandera.pandas as pa

    largest = LARGEST_TARGET if column.name == params.target else FLOAT32_MAX
    finite = pa.Check(lambda values: values.abs() <= largest, name="finite")
    few = pa.Check(lambda values: values.nunique() <= params.max_categories, name="few_categories")
    if column.name == params.target:
        kind, checks = ("float64", [finite]) if params.task == "regression" else ("str", [])
        return pa.Column(kind, checks, coerce=True, nullable=True)
    if column.name in params.excluded_columns:
        return pa.Column(nullable=True)
    if pd.api.types.is_bool_dtype(column):
        return pa.Column("bool")
    if pd.api.types.is_float_dtype(column):
        return pa.Column("float64", [finite], nullable=True)
    return pa.Column("str", [] if is_encoded else [few], nullable=True)


def _violation(
    failure: pd.Series, table: pd.DataFrame, params: DatasetParams, row_name: Callable[[int], str]
) -> TableError:
    column = str(failure["column"])
    where = f"{params.path}: column {column!r}"
    if not pd.isna(failure["index"]):
        where += f", {row_name(int(failure['index']))},"
    check = str(failure["check"])
    if check == "finite":
        largest = LARGEST_TARGET if column == params.target else FLOAT32_MAX
        return TableError(
            f"{where} holds {failure['failure_case']}, beyond {largest:.3g}, the limit for 32-bit floats in XGBoost",
            "correct the value, or leave it empty if it is missing",
        )
    if check == "few_categories":
        return _too_many_categories(table[column], where, params, row_name)
    return TableError(
        f"{where} holds {short_repr(failure['failure_case'])}; the target of a regression must be a number",
        "correct the value, or leave it empty to drop the row; to predict classes, set dataset.task: classification",
    )


def _too_many_categories(
    column: pd.Series, where: str, params: DatasetParams, row_name: Callable[[int], str]
) -> TableError:
    not_numeric = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    values = column[not_numeric] if not_numeric.mean() < 0.5 and not_numeric.any() else column.dropna()
    problem = f"{where} {_too_many(column.nunique(), params)}; "
    problem += f"{row_name(values.index[0])} is {short_repr(values.iloc[0])}"
    if values is not column and len(values) < len(column.dropna()):
        return TableError(
            problem, f"if it is a numeric column, correct its values that are not numbers ({len(values):,} rows)"
        )
    return TableError(problem, FEWER_CATEGORIES)


def _too_many(n_categories: int, params: DatasetParams) -> str:
    return (
        f"is categorical with {n_categories} different values, more than dataset.max_categories "
        f"({params.max_categories})"
    )
