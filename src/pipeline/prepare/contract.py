"""The contract an input table is held to, declared with pandera and reported in words."""

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipeline.errors import TableError
from pipeline.features.columns import as_text, kind_of
from pipeline.features.formulas import LARGEST
from pipeline.params.schema import DatasetParams
from pipeline.support.section import shown

if TYPE_CHECKING:
    from pandera.pandas import Column

# Of a target, whose squared errors must stay finite in XGBoost's 32 bits.
LARGEST_TARGET = 1e18
PLAIN = (bool, str, int, float)  # of columns with values of several kinds
LONGEST_LIST = 1000  # characters of names in a message


def select_columns(table: pd.DataFrame, params: DatasetParams) -> pd.DataFrame:
    """Return input columns, target and the column of the split, after checking that all named columns exist.

    Raises
    ------
    TableError
        When params.yaml names a column the table has not.
    """
    named = {
        "target": [params.target],
        "drop": params.drop,
        "categorical": params.categorical or [],
        "split.column": [params.split.column] if params.split.column else [],
    }
    for key, columns in named.items():
        for column in columns:
            if column not in table.columns:
                some = ", ".join(table.columns[:20]) + (", …" if len(table.columns) > 20 else "")
                raise TableError(
                    f"{params.path} has no column {column!r}, which dataset.{key} in params.yaml names",
                    f"name one of its {len(table.columns)} columns: {some[:LONGEST_LIST]}",
                )
    dropped = set(params.drop) - {params.split.column}
    kept = table.drop(columns=[column for column in table.columns if column in dropped])
    if kept.columns.difference([params.target, *params.no_inputs]).empty:
        raise TableError(f"{params.path} has no column left to predict from", "drop fewer columns in params.yaml")
    return kept


def check_contract(table: pd.DataFrame, params: DatasetParams) -> pd.DataFrame:
    """Hold a table to its contract and bring every column to the type its kind has.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        From `select_columns`; row labels count from 0 in the file.

    Returns
    -------
    DataFrame, shape (n_rows, n_columns)
        Numbers as float64, booleans as bool, categories as text. The target is float64 in regression and text
        in classification.

    Raises
    ------
    TableError
        Naming column, row (counted from 1 below the header), value and remedy of the first breach.
    """
    import pandera.pandas as pa

    typed = pd.DataFrame({str(name): _typed(table[name], params) for name in table.columns}, copy=False)
    # A look by pandera costs a millisecond a column: of thousands of numbers it gets those that break the contract.
    schema = pa.DataFrameSchema(
        {name: _contract_of(column, params) for name, column in typed.items() if not _is_sound_number(column, params)}
    )
    try:
        return schema.validate(typed, lazy=True, inplace=True)
    except pa.errors.SchemaErrors as errors:
        raise _breach(errors.failure_cases.iloc[0], typed, params) from None


def _typed(column: pd.Series, params: DatasetParams) -> pd.Series:
    """Bring an input column to the type of its kind; the contract then says whether it may stay."""
    kind = kind_of(column)
    if column.name == params.target:
        if params.task == "classification":
            _check_plain(column, (*PLAIN, date, Decimal), params)
            return as_text(column)
        return column if kind in ("number", "boolean") else column.astype(object)  # which pandera says what is wrong of
    if column.name in params.no_inputs:  # kept for the split only
        return as_text(column) if column.dtype == object else column
    if column.name in (params.categorical or []) or kind == "text":
        return as_text(column)
    if kind == "number":
        return column.astype("float64")
    if kind == "boolean":
        return as_text(column) if column.isna().any() else column.astype("bool")
    _check_plain(column, PLAIN, params)
    return as_text(column)


def _check_plain(column: pd.Series, kinds: tuple[type, ...], params: DatasetParams) -> None:
    """Refuse a column of objects with values of other kinds than these."""
    if kind_of(column) is not None:
        return
    known = column.dropna()
    for row, value in zip(known.index, known, strict=True):
        if not isinstance(value, kinds):
            raise TableError(
                f"{params.path}: column {column.name!r} holds {type(value).__name__} values, neither numbers nor text: "
                f"row {row + 1} is {shown(str(value))}",
                "add it to dataset.drop in params.yaml, or write it as number or text",
            )


def _is_sound_number(column: pd.Series, params: DatasetParams) -> bool:
    """Return whether an input column is of numbers that keep their contract, as pandera would find."""
    if column.name == params.target or column.name in params.no_inputs or column.dtype != np.float64:
        return False
    sizes = np.abs(column.to_numpy())
    known = sizes[~np.isnan(sizes)]
    return len(known) > 0 and bool(known.max() <= LARGEST)


def _contract_of(column: pd.Series, params: DatasetParams) -> "Column":
    import pandera.pandas as pa

    has_values = pa.Check(lambda values: values.notna().any(), name="has_values", ignore_na=False)
    largest = LARGEST_TARGET if column.name == params.target else LARGEST
    finite = pa.Check(lambda values: values.abs() <= largest, name="finite")
    few = pa.Check(lambda values: values.nunique() <= params.max_categories, name="few_categories")
    if column.name == params.target:
        kind, checks = ("float64", [finite, has_values]) if params.task == "regression" else ("str", [has_values])
        return pa.Column(kind, checks, coerce=True, nullable=True)
    if column.name in params.no_inputs:
        return pa.Column(nullable=True)
    if pd.api.types.is_bool_dtype(column):
        return pa.Column("bool")
    if pd.api.types.is_float_dtype(column):
        return pa.Column("float64", [has_values, finite], nullable=True)
    return pa.Column("str", [has_values, few], nullable=True)


def _breach(failure: pd.Series, table: pd.DataFrame, params: DatasetParams) -> TableError:
    column = str(failure["column"])
    where = f"{params.path}: column {column!r}"
    if not pd.isna(failure["index"]):
        where += f", row {int(failure['index']) + 1},"
    check = str(failure["check"])
    if check == "finite":
        largest = LARGEST_TARGET if column == params.target else LARGEST
        return TableError(
            f"{where} holds {failure['failure_case']}, beyond {largest:.3g}, the most that XGBoost's 32 bits take here",
            "correct the value, or leave it empty to mark it missing",
        )
    if check == "few_categories":
        return _too_many_categories(table[column], where, params)
    if check == "has_values":
        remedy = "set dataset.target to another column" if column == params.target else "add it to dataset.drop"
        return TableError(f"{where} holds no value at all", f"{remedy} in params.yaml")
    return TableError(
        f"{where} holds {shown(failure['failure_case'])}; the target of a regression must be a number",
        "correct the value or leave it empty to drop the row; for labels set dataset.task: classification",
    )


def _too_many_categories(column: pd.Series, where: str, params: DatasetParams) -> TableError:
    no_number = pd.to_numeric(column, errors="coerce").isna() & column.notna()
    values = column[no_number] if no_number.mean() < 0.5 and no_number.any() else column.dropna()
    problem = f"{where} is text with {column.nunique()} different values, more than dataset.max_categories "
    problem += f"({params.max_categories}); row {values.index[0] + 1} is {shown(values.iloc[0])}"
    if values is not column and len(values) < len(column.dropna()):
        return TableError(problem, f"if it is a number column, correct what is no number in it ({len(values):,} rows)")
    return TableError(problem, "add it to dataset.drop, or raise dataset.max_categories, in params.yaml")
