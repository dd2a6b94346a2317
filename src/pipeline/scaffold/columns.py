"""What becomes of a column: an input as it stands, a code, or none of the inputs; by its values and its name."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import Kind, as_text, kind_of
from pipeline.features.formulas import LARGEST
from pipeline.features.light_curves import flux_columns
from pipeline.params.schema import DatasetParams
from pipeline.scaffold import names
from pipeline.scaffold.text import are_hashes, flawed_numbers, is_prose, plain, shown, written_dates

FEWEST_VALUES = 5  # of fewer all may come into the test table, and training would know none
NEARLY_ALL = 0.95
FLUX_COLUMNS = 20
MOST_CATEGORIES: int = DatasetParams.model_fields["max_categories"].default
# Texts with more values than that are worth as many features when each value has many rows.
WORTH_ROWS, WORTH_CATEGORIES = 20, 200
# An identifier with few values, each in many rows, is a code.
CODE_ROWS, CODE_VALUES = 10, 20
ACCIDENT_ROWS = 20  # in fewer, a column may go with the target by accident


@dataclass(frozen=True)
class OtherSplit:
    """A split by a column that may suit the table better than a random one."""

    strategy: Literal["group", "time"]
    column: str
    when: str


@dataclass(frozen=True)
class ColumnUse:
    """What becomes of a column.

    Attributes
    ----------
    use : {"input", "categorical", "drop"}
    reason : str
        Empty for an input as it stands.
    kind : {"number", "boolean", "text"}, optional
    other_split : OtherSplit, optional
    note : str
        What must be known of the column beyond the reason, else empty.
    leak : bool
        Whether it gives the target away.
    """

    use: Literal["input", "categorical", "drop"]
    reason: str = ""
    kind: Kind | None = None
    other_split: OtherSplit | None = None
    note: str = ""
    leak: bool = False

    @property
    def is_text(self) -> bool:
        """Whether an input is read as text."""
        return self.use == "categorical" or self.kind == "text"


def light_curve(table: pd.DataFrame) -> set[str]:
    """Return the columns of light curves (FLUX.1, FLUX.2, …), when there are enough of them."""
    found = {name for name in flux_columns(list(table.columns)) if kind_of(table[name]) == "number"}
    return found if len(found) >= FLUX_COLUMNS else set()


def judge(column: pd.Series, target: pd.Series, is_regression: bool) -> ColumnUse:
    """Say what becomes of a column.

    Parameters
    ----------
    column, target : Series, shape (n_rows,)
        By the same row labels; labels count from 0 in the file. No target is missing.
    is_regression : bool
    """
    values = plain(column)
    if len(values) < FEWEST_VALUES:
        rows = f"only {len(values)} of {len(column):,} rows have a value" if len(values) else "no row has a value"
        return ColumnUse("drop", rows)
    kind = kind_of(values)
    if kind is None:
        return _neither_number_nor_text(column, values)
    n_different = int(values.nunique())
    if n_different == 1 and len(values) == len(column):
        return ColumnUse("drop", f"the same in every row: {shown(values.iloc[0])}")
    if _recodes(values, target, n_different, is_regression):
        return ColumnUse("drop", f"equals the target {shown(target.name)} or recodes it one to one", leak=True)
    if kind == "boolean":
        return ColumnUse("input", kind=kind)
    verdict = _text(column, values, n_different) if kind == "text" else _number(column, values, n_different)
    may_leak = verdict == ColumnUse("input", kind="number") and is_regression and not names.says_time(str(column.name))
    if may_leak and _has_order_of(values, target, n_different):
        return ColumnUse("drop", f"rises or falls exactly as the target {shown(target.name)} does", leak=True)
    return verdict


def _neither_number_nor_text(column: pd.Series, values: pd.Series) -> ColumnUse:
    first = values.iloc[0]
    if isinstance(first, date):  # as pandas' own dates are
        return ColumnUse("drop", f"dates, such as {first}", other_split=_by_time(column, values, "iso"))
    return ColumnUse("drop", f"holds {type(first).__name__} values, neither numbers nor text")


def _number(column: pd.Series, values: pd.Series, n_different: int) -> ColumnUse:
    name, numbers = str(column.name), values.to_numpy(np.float64)
    infinite = np.flatnonzero(np.abs(numbers) > LARGEST)
    if len(infinite):
        row = values.index[infinite[0]] + 1
        note = f"infinite, to models, in row {row}: correct or empty such values, or prepare stops"
        return ColumnUse("input", kind="number", note=note)
    if (numbers != np.round(numbers)).any():
        return ColumnUse("input", kind="number")
    is_unique = n_different == len(values)
    if names.says_time(name):
        if _are_dates(numbers):
            return ColumnUse("drop", "dates as whole numbers", other_split=_by_time(column, values, "iso"))
        if is_unique and (np.diff(numbers) > 0).all():
            return ColumnUse("input", kind="number", other_split=_by_time(column, values, "iso"))
    elif is_unique and _counts_rows(numbers, name):
        return ColumnUse("drop", "numbers the rows")
    if names.says_identifier(name):
        return _identifier(column, values, n_different, "number")
    if names.says_code(name) and n_different > 2:
        if n_different <= MOST_CATEGORIES:
            return ColumnUse("categorical", f"a code by its name, with {n_different} different numbers", "number")
        if names.says_postal_code(name):
            return ColumnUse("input", kind="number", note=f"{n_different:,} different codes are taken as a number")
    return ColumnUse("input", kind="number")


def _text(column: pd.Series, values: pd.Series, n_different: int) -> ColumnUse:
    name, texts = str(column.name), as_text(values)
    dates = written_dates(texts)
    if dates:
        reason = f"dates as text, such as {shown(texts.iloc[0])}"
        return ColumnUse("drop", reason, other_split=_by_time(column, values, dates))
    is_unique = n_different >= NEARLY_ALL * len(values)
    is_worth = n_different <= MOST_CATEGORIES or (
        n_different <= WORTH_CATEGORIES and len(values) >= WORTH_ROWS * n_different
    )
    are_digits = bool(texts.str.fullmatch(r"[0-9]+").all())
    has_zeros = are_digits and bool(texts.str.match("0[0-9]").any())
    if are_hashes(texts) or (names.says_identifier(name) and n_different > CODE_VALUES) or (is_unique and has_zeros):
        return _identifier(column, values, n_different, "text")
    if has_zeros and is_worth:
        return ColumnUse("categorical", f"a code with leading zeros, such as {_zeros(texts)}", "text")
    flaw = "" if has_zeros else flawed_numbers(texts)
    if flaw:
        return ColumnUse(
            "drop", flaw, note="may be of use as an input: correct the table and name it in `drop` no more"
        )
    if is_unique and not is_prose(texts):
        return _identifier(column, values, n_different, "text")
    if is_worth and not is_unique:
        return ColumnUse("input", kind="text")
    what = "codes with leading zeros," if has_zeros else "free text" if is_prose(texts) else "text"
    split = _by_group(column) if names.says_owner(name) else None
    return ColumnUse(
        "drop", f"{what} with {n_different:,} different values{_each(values, n_different)}", other_split=split
    )


def _identifier(column: pd.Series, values: pd.Series, n_different: int, kind: Kind) -> ColumnUse:
    if n_different >= NEARLY_ALL * len(values):
        every = "every row" if n_different == len(column) else "nearly every row"
        return ColumnUse("drop", f"an identifier, different in {every}")
    described = f"with {n_different:,} different values{_each(values, n_different)}"
    if n_different <= CODE_VALUES and len(values) >= CODE_ROWS * n_different and kind == "number":
        return ColumnUse("categorical", f"a code {described}", kind, other_split=_by_group(column))
    return ColumnUse("drop", f"an identifier {described}", other_split=_by_group(column))


def _each(values: pd.Series, n_different: int) -> str:
    rows = len(values) / n_different
    if rows < 1.1:
        return ""
    return f", about {rows:.1f} rows each" if rows < 10 else f", about {rows:,.0f} rows each"


def _zeros(texts: pd.Series) -> str:
    return shown(texts[texts.str.startswith("0")].iloc[0])


def _by_group(column: pd.Series) -> OtherSplit:
    return OtherSplit("group", str(column.name), "when rows with the same value belong together")


def _by_time(column: pd.Series, values: pd.Series, written: str) -> OtherSplit:
    first = [] if written == "iso" else ["write it as ISO 8601 (2026-01-31) first"]
    if len(values) < len(column):
        first.append(f"remove the {len(column) - len(values):,} rows without it first")
    return OtherSplit("time", str(column.name), "; ".join(["to test on the latest rows", *first]))


def _are_dates(numbers: NDArray[np.float64]) -> bool:
    """Return whether whole numbers are days (20260131), or seconds or milliseconds of the years 1990 to 2060."""
    if numbers.min() >= 19000101 and numbers.max() <= 21001231:
        days = pd.Series(np.unique(numbers).astype(np.int64).astype(str))
        return bool(pd.to_datetime(days, format="%Y%m%d", errors="coerce").notna().all())
    return any(bool(numbers.min() >= 631e6 * unit and numbers.max() <= 2871e6 * unit) for unit in (1, 1000))


def _counts_rows(numbers: NDArray[np.float64], name: str) -> bool:
    """Return whether different whole numbers are a sequence in any order, or one with gaps in the order of rows."""
    span = numbers.max() - numbers.min() + 1
    if span == len(numbers):
        return True
    steps = np.diff(numbers)
    return bool((steps > 0).all() and (span * 0.9 <= len(numbers) or (steps == steps[0]).all() or names.says_row(name)))


def _recodes(values: pd.Series, target: pd.Series, n_different: int, is_regression: bool) -> bool:
    """Return whether values and targets go together one to one, in so many rows that it is no accident."""
    if n_different == 1 or len(values) < max(ACCIDENT_ROWS, len(target) / 2):
        return False
    if is_regression and n_different > len(values) / 2:
        return False
    same = target.loc[values.index]
    if n_different != same.nunique():
        return False
    pairs = pd.factorize(values)[0].astype(np.int64) * n_different + pd.factorize(same)[0]
    return len(np.unique(pairs)) == n_different


def _has_order_of(values: pd.Series, target: pd.Series, n_different: int) -> bool:
    """Return whether numbers rise, or fall, wherever the target rises, and are the same where it is."""
    same = target.loc[values.index].to_numpy(np.float64)
    if len(values) < max(ACCIDENT_ROWS, len(target) / 2) or n_different != len(np.unique(same)):
        return False
    order = np.argsort(same, kind="stable")
    steps, rises = np.diff(values.to_numpy(np.float64)[order]), np.diff(same[order]) > 0
    return not steps[~rises].any() and bool((steps[rises] > 0).all() or (steps[rises] < 0).all())
