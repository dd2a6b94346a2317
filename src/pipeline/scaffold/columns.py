"""Decide from a column's values and name whether it is an input, a categorical code, or dropped."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import Kind, as_text, infer_kind
from pipeline.features.formulas import FLOAT32_MAX
from pipeline.features.light_curves import flux_columns
from pipeline.params.schema import DatasetParams
from pipeline.scaffold import column_names
from pipeline.scaffold.dates import date_format, number_date_format, unreadable
from pipeline.scaffold.orders import evident_order
from pipeline.scaffold.text_values import are_hashes, format_value, number_flaw, plain_values
from pipeline.scaffold.texts import feature_of_texts, has_many_rows
from pipeline.scaffold.word_lists import list_separator

MIN_VALUES = 5  # of fewer, all may be in the test set and none in the training set
NEARLY_ALL = 0.95
FLUX_COLUMNS = 20
DEFAULT_MAX_CATEGORIES: int = DatasetParams.model_fields["max_categories"].default
# A text column may have more categories than that if each has many rows.
LARGE_CATEGORY_ROWS, MAX_LARGE_CATEGORIES = 20, 200
# An identifier with few values, each in many rows, is a code.
MIN_CODE_ROWS, MAX_CODE_VALUES = 10, 20
MIN_LEAK_ROWS = 20  # in fewer rows, a column may match the target by chance


@dataclass(frozen=True)
class AlternativeSplit:
    """A split by a column that may suit the table better than a random split, with the reason."""

    strategy: Literal["group", "time"]
    column: str
    reason: str


@dataclass(frozen=True)
class FeatureSetting:
    """A setting of `FeaturesParams` for one column.

    Attributes
    ----------
    key : {"dates", "target_encoding", "ordered", "lists", "text"}
    value : str or list of str, optional
        The column's value, unless the key holds a list of columns.
    """

    key: Literal["dates", "target_encoding", "ordered", "lists", "text"]
    value: str | list[str] | None = None


@dataclass(frozen=True)
class ColumnUse:
    """How a column is used.

    Attributes
    ----------
    use : {"input", "categorical", "drop"}
    reason : str
        Empty for an input that is used as it is.
    kind : {"number", "boolean", "text"}, optional
    alternative_split : AlternativeSplit, optional
    note : str
        What the user must know in addition to the reason, or empty.
    is_leak : bool
        Whether the column reveals the target.
    feature : FeatureSetting, optional
        How the features of an input are made, if it is not a number, boolean or one-hot encoded.
    """

    use: Literal["input", "categorical", "drop"]
    reason: str = ""
    kind: Kind | None = None
    alternative_split: AlternativeSplit | None = None
    note: str = ""
    is_leak: bool = False
    feature: FeatureSetting | None = None

    @property
    def is_text(self) -> bool:
        """Whether the column is an input that is read as text."""
        return self.use == "categorical" or self.kind == "text"


def light_curve_columns(table: pd.DataFrame) -> set[str]:
    """Return the numeric columns FLUX.1, FLUX.2, … of a light curve, or none if there are too few."""
    found = {name for name in flux_columns(list(table.columns)) if infer_kind(table[name]) == "number"}
    return found if len(found) >= FLUX_COLUMNS else set()


def classify_column(column: pd.Series, target: pd.Series, is_regression: bool) -> ColumnUse:
    """Return how a column is used.

    Parameters
    ----------
    column, target : Series, shape (n_rows,)
        With the same index, which numbers the rows of the file from 0. The target has no missing values.
    is_regression : bool
    """
    values = plain_values(column)
    if len(values) < MIN_VALUES:
        rows = f"only {len(values)} of {len(column):,} rows have a value" if len(values) else "no row has a value"
        return ColumnUse("drop", rows)
    kind = infer_kind(values)
    if kind is None:
        return _classify_other(column, values)
    n_different = int(values.nunique())
    if n_different == 1 and len(values) == len(column):
        return ColumnUse("drop", f"the same in every row: {format_value(values.iloc[0])}")
    if _matches_one_to_one(values, target, n_different, is_regression):
        return ColumnUse(
            "drop", f"equals the target {format_value(target.name)} or recodes it one to one", is_leak=True
        )
    if kind == "boolean":
        return ColumnUse("input", kind=kind)
    verdict = (
        _classify_text(column, values, n_different)
        if kind == "text"
        else _classify_numbers(column, values, n_different)
    )
    may_leak = (
        verdict == ColumnUse("input", kind="number")
        and is_regression
        and not column_names.is_time_name(str(column.name))
    )
    if may_leak and _has_order_of_target(values, target, n_different):
        return ColumnUse("drop", f"rises or falls exactly with the target {format_value(target.name)}", is_leak=True)
    return verdict


def _classify_other(column: pd.Series, values: pd.Series) -> ColumnUse:
    first = values.iloc[0]
    if values.map(lambda value: isinstance(value, date)).all():  # includes pandas timestamps
        return _use_of_dates(column, values, f"dates, such as {first}", "iso", kind="text")
    return ColumnUse("drop", f"contains {type(first).__name__} values, neither numbers nor text")


def _classify_numbers(column: pd.Series, values: pd.Series, n_different: int) -> ColumnUse:
    name, numbers = str(column.name), values.to_numpy(np.float64)
    infinite = np.flatnonzero(np.abs(numbers) > FLOAT32_MAX)
    if len(infinite):
        row = values.index[infinite[0]] + 1
        note = f"infinite as a 32-bit float in row {row}: correct or clear such values, which stage prepare rejects"
        return ColumnUse("input", kind="number", note=note)
    found = number_date_format(numbers, name)
    if found:
        return _use_of_dates(column, values, f"dates as numbers, such as {format_value(values.iloc[0])}", found.name)
    if (numbers != np.round(numbers)).any():
        return ColumnUse("input", kind="number")
    is_unique = n_different == len(values)
    if column_names.is_time_name(name):
        if is_unique and (np.diff(numbers) > 0).all():
            return ColumnUse("input", kind="number", alternative_split=_time_split(column, values))
    elif is_unique and column_names.is_unnamed(name):
        return ColumnUse("drop", "row numbers", note="dropped, because it has no name and counts rows")
    elif is_unique and _counts_rows(numbers, name):
        return ColumnUse("drop", "row numbers")
    if column_names.is_identifier_name(name):
        return _classify_identifier(column, values, n_different, "number")
    if column_names.is_code_name(name) and n_different > 2:
        if n_different <= DEFAULT_MAX_CATEGORIES:
            return ColumnUse("categorical", f"a code by its name, with {n_different} different numbers", "number")
        if column_names.is_postal_code_name(name):
            return ColumnUse("input", kind="number", note=f"{n_different:,} different codes are treated as numbers")
    return ColumnUse("input", kind="number")


def _classify_text(column: pd.Series, values: pd.Series, n_different: int) -> ColumnUse:
    name, texts = str(column.name), as_text(values)
    found = date_format(texts)
    if found:
        reason = f"dates, such as {format_value(texts.iloc[0])}"
        note = "; ".join(filter(None, [found.note, unreadable(texts, found.name)]))
        return _use_of_dates(column, values, reason, found.name, "text", note, found.is_sortable)
    separator = list_separator(texts)
    if separator:
        reason = f"words separated by {separator!r}, such as {format_value(texts.iloc[0])}"
        return ColumnUse("input", reason, "text", feature=FeatureSetting("lists", separator))
    is_unique = n_different >= NEARLY_ALL * len(values)
    has_few_categories = n_different <= DEFAULT_MAX_CATEGORIES or (
        n_different <= MAX_LARGE_CATEGORIES and len(values) >= LARGE_CATEGORY_ROWS * n_different
    )
    order = evident_order(texts) if has_few_categories and not is_unique else None
    if order:
        reason = f"an evident order: {format_value(order[0])} < {format_value(order[1])} < …"
        return ColumnUse("input", reason, "text", feature=FeatureSetting("ordered", order))
    are_digits = bool(texts.str.fullmatch(r"[0-9]+").all())
    has_zeros = are_digits and bool(texts.str.match("0[0-9]").any())
    if (
        are_hashes(texts)
        or (column_names.is_identifier_name(name) and n_different > MAX_CODE_VALUES)
        or (is_unique and has_zeros)
    ):
        return _classify_identifier(column, values, n_different, "text")
    if has_zeros and has_few_categories:
        return ColumnUse("categorical", f"a code with leading zeros, such as {_example_with_zeros(texts)}", "text")
    flaw = "" if has_zeros else number_flaw(texts)
    if flaw:
        return ColumnUse(
            "drop", flaw, note="may be useful as an input: correct the table and remove the column from `drop`"
        )
    if has_few_categories and not is_unique:
        return ColumnUse("input", kind="text")
    key = feature_of_texts(texts, n_different)
    if is_unique and key != "text":
        return _classify_identifier(column, values, n_different, "text")
    is_owner = column_names.is_owner_name(name)
    description = "codes with leading zeros," if has_zeros else "free text" if key == "text" else "text"
    reason = f"{description} with {n_different:,} different values{_rows_per_value(values, n_different)}"
    split = _group_split(column) if is_owner else None
    if key is None:
        return ColumnUse("drop", reason, alternative_split=split)
    return ColumnUse("input", reason, "text", split, feature=FeatureSetting(key))


def _classify_identifier(column: pd.Series, values: pd.Series, n_different: int, kind: Kind) -> ColumnUse:
    if n_different >= NEARLY_ALL * len(values):
        rows = "every row" if n_different == len(column) else "nearly every row"
        return ColumnUse("drop", f"an identifier, different in {rows}")
    description = f"with {n_different:,} different values{_rows_per_value(values, n_different)}"
    if n_different <= MAX_CODE_VALUES and len(values) >= MIN_CODE_ROWS * n_different and kind == "number":
        return ColumnUse("categorical", f"a code {description}", kind, alternative_split=_group_split(column))
    reason = f"an identifier {description}"
    split, feature = _group_split(column), FeatureSetting("target_encoding")
    if not has_many_rows(len(values), n_different):
        return ColumnUse("drop", reason, alternative_split=split)
    return ColumnUse("input" if kind == "text" else "categorical", reason, kind, split, feature=feature)


def _rows_per_value(values: pd.Series, n_different: int) -> str:
    rows = len(values) / n_different
    if rows < 1.1:
        return ""
    return f", about {rows:.1f} rows each" if rows < 10 else f", about {rows:,.0f} rows each"


def _example_with_zeros(texts: pd.Series) -> str:
    return format_value(texts[texts.str.startswith("0")].iloc[0])


def _group_split(column: pd.Series) -> AlternativeSplit:
    return AlternativeSplit("group", str(column.name), "if rows with the same value belong together")


def _time_split(column: pd.Series, values: pd.Series, *steps: str) -> AlternativeSplit:
    missing = len(column) - len(values)
    steps += (f"first remove the {missing:,} rows without a value",) if missing else ()
    return AlternativeSplit("time", str(column.name), "; ".join(["to test on the latest rows", *steps]))


def _use_of_dates(
    column: pd.Series,
    values: pd.Series,
    reason: str,
    date_format: str,
    kind: Kind = "number",
    note: str = "",
    is_sortable: bool = True,
) -> ColumnUse:
    steps = [] if is_sortable else ["first convert it to ISO 8601 (2026-01-31)"]
    split = _time_split(column, values, *steps)
    return ColumnUse("input", reason, kind, split, note, feature=FeatureSetting("dates", date_format))


def _counts_rows(numbers: NDArray[np.float64], name: str) -> bool:
    """Return whether unique integers are a sequence in any order, or one with gaps in the order of the rows."""
    span = numbers.max() - numbers.min() + 1
    if span == len(numbers):
        return True
    steps = np.diff(numbers)
    return bool(
        (steps > 0).all()
        and (span * 0.9 <= len(numbers) or (steps == steps[0]).all() or column_names.is_row_number_name(name))
    )


def _matches_one_to_one(values: pd.Series, target: pd.Series, n_different: int, is_regression: bool) -> bool:
    """Return whether values and targets map one to one, in too many rows for chance."""
    if n_different == 1 or len(values) < max(MIN_LEAK_ROWS, len(target) / 2):
        return False
    if is_regression and n_different > len(values) / 2:
        return False
    targets = target.loc[values.index]
    if n_different != targets.nunique():
        return False
    pairs = pd.factorize(values)[0].astype(np.int64) * n_different + pd.factorize(targets)[0]
    return len(np.unique(pairs)) == n_different


def _has_order_of_target(values: pd.Series, target: pd.Series, n_different: int) -> bool:
    """Return whether numbers rise (or fall) wherever the target rises, and are equal where it is equal."""
    targets = target.loc[values.index].to_numpy(np.float64)
    if len(values) < max(MIN_LEAK_ROWS, len(target) / 2) or n_different != len(np.unique(targets)):
        return False
    order = np.argsort(targets, kind="stable")
    steps, rises = np.diff(values.to_numpy(np.float64)[order]), np.diff(targets[order]) > 0
    return not steps[~rises].any() and bool((steps[rises] > 0).all() or (steps[rises] < 0).all())
