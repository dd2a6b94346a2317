"""Infer from the target whether the task is a regression or a classification."""

import difflib
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.errors import TableError
from pipeline.features.columns import as_text, infer_kind
from pipeline.prepare.contract import LARGEST_TARGET
from pipeline.scaffold.dates import date_format
from pipeline.scaffold.text_values import format_counts, format_value, number_flaw

TaskName = Literal["regression", "classification"]
MIN_ROWS = 10
# Integers are classes if there are at most so many, each in at least so many rows.
MAX_INTEGER_CLASSES, MIN_CLASS_ROWS = 10, 10
MAX_AMBIGUOUS = 20  # up to so many different integers may also be classes, which is noted
OTHER_TARGET = "choose another target, or add a numeric column to predict"


def check_target(table: pd.DataFrame, target: str, source: str) -> None:
    """Check that a table has the column `target`, and values in it.

    Raises
    ------
    TableError
    """
    if target not in table.columns:
        names = [str(name) for name in table.columns]
        matches = difflib.get_close_matches(target, names, n=1)
        columns = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
        remedy = f"did you mean {matches[0]!r}?" if matches else f"choose one of its {len(names)} columns: {columns}"
        raise TableError(f"{source} has no column {target!r}", remedy)
    if table[target].isna().all():
        raise TableError(f"{source}: the target {target!r} has no values", "choose another target")


def infer_task(values: pd.Series, where: str, requested: TaskName | None) -> tuple[TaskName, str, list[str]]:
    """Return the task, the reason for it, and a note if the other task is plausible.

    Texts and booleans are classes. So are two different integers, and up to 10 if each is in at least 10 rows. All
    other numbers are quantities. The values 0 and 1 leave no doubt, and need no note.

    Parameters
    ----------
    values : Series, shape (n_rows,)
        The target, without missing values.
    where : str
        The name of the target in messages.
    requested : {"regression", "classification"}, optional
        The task to use instead of inferring it.

    Raises
    ------
    TableError
        If there are too few rows, the values are constant, dates or numbers mixed with text, or there are too many
        classes or classes with a single row.
    """
    if len(values) < MIN_ROWS:
        raise TableError(
            f"{where} has {len(values)} different rows with a value, too few to train, validate and test on",
            f"add rows until there are at least {MIN_ROWS}",
        )
    kind = infer_kind(values)
    if kind is None:
        raise TableError(
            f"{where} contains {format_value(values.iloc[0])}, which is neither a number nor a class", OTHER_TARGET
        )
    if values.nunique() == 1:
        raise TableError(f"{where} is {format_value(values.iloc[0])} in every row", "choose a target that varies")
    task, reason = _task_of_kind(values, kind, where) if requested is None else (requested, "set by --task")
    if task == "regression" and kind == "text":
        raise TableError(
            f"{where} contains {format_value(values.iloc[0])}, but the target of a regression must be numeric",
            "choose another target, or remove --task",
        )
    if task == "classification":
        _check_classes(values, where)
    notes = []
    is_doubtful = reason.endswith("may also be classes") or (task == "classification" and set(values) != {0, 1})
    if requested is None and kind == "number" and is_doubtful:
        other = "regression" if task == "classification" else "classification"
        notes = [f"the task is {task}, because the target has {reason}; to change it, use --task {other}"]
    if kind == "number":
        notes += _note_on_infinite(values)
    return task, reason, notes


def _task_of_kind(values: pd.Series, kind: str | None, where: str) -> tuple[TaskName, str]:
    if kind == "boolean":
        return "classification", "booleans"
    if kind == "text" and date_format(as_text(values)):
        raise TableError(f"{where} contains dates, such as {format_value(values.iloc[0])}", OTHER_TARGET)
    n_different = values.nunique()
    if kind == "text":
        flaw = number_flaw(as_text(values))
        if flaw:
            remedy = "correct or clear such values; if they are classes, use --task classification"
            raise TableError(f"{where} contains {flaw}", remedy)
        return "classification", f"text with {n_different} classes: {format_counts(values)}"
    if not _are_integers(values):
        return "regression", "fractional numbers"
    min_count = int(values.value_counts().min())
    if n_different == 2 or (n_different <= MAX_INTEGER_CLASSES and min_count >= MIN_CLASS_ROWS):
        return "classification", f"{n_different} different integers: {format_counts(values)}"
    if n_different <= MAX_INTEGER_CLASSES:
        reason = f"{n_different} different integers, one in only {min_count} rows, which may also be classes"
        return "regression", reason
    if n_different <= MAX_AMBIGUOUS:
        return "regression", f"{n_different} different integers, which may also be classes"
    return "regression", f"{n_different:,} different numbers"


def _note_on_infinite(values: pd.Series) -> list[str]:
    too_large = values[values.abs() > LARGEST_TARGET]
    if too_large.empty:
        return []
    row = too_large.index[0] + 1
    return [
        f"the target is {too_large.iloc[0]:g} in row {row} ({len(too_large):,} such rows), which stage prepare "
        "rejects: correct such values, or clear them to leave their rows out"
    ]


def _are_integers(values: pd.Series) -> bool:
    numbers = values.to_numpy(np.float64)
    return bool(np.isfinite(numbers).all() and (numbers == np.round(numbers)).all())


def _check_classes(values: pd.Series, where: str) -> None:
    counts = values.value_counts()
    if len(counts) > len(values) / 2:
        raise TableError(
            f"{where} has {len(counts):,} different values in {len(values):,} rows, too many for classes",
            "choose another target, or use --task regression if it is numeric",
        )
    single = counts[counts == 1].index
    if len(single):
        first = ", ".join(format_value(label) for label in single[:5]) + (", …" if len(single) > 5 else "")
        raise TableError(
            f"{where} has classes with a single row, which cannot be in both the training and the test set: {first}",
            "remove those rows, merge the classes with others, or add rows",
        )
