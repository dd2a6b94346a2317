"""What the target is: a number to predict, or labels; or why it cannot be predicted."""

import difflib
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.errors import TableError
from pipeline.features.columns import as_text, kind_of
from pipeline.scaffold.text import counted, flawed_numbers, shown, written_dates

TaskName = Literal["regression", "classification"]
FEWEST_ROWS = 10
# Whole numbers are labels when they are so few, and each stands in so many rows.
MOST_LABELS, LABEL_ROWS = 10, 10
AMBIGUOUS = 20  # so many different whole numbers might be labels as well, which is said
OTHER_TARGET = "name another target, or add a column that says as a number what is to be predicted"


def check_target(table: pd.DataFrame, target: str, source: str) -> None:
    """Check that a table has the column `target`, and values in it.

    Raises
    ------
    TableError
    """
    if target not in table.columns:
        names = [str(name) for name in table.columns]
        near = difflib.get_close_matches(target, names, n=1)
        few = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
        remedy = f"did you mean {near[0]!r}?" if near else f"name one of its {len(names)} columns: {few}"
        raise TableError(f"{source} has no column {target!r}", remedy)
    if table[target].isna().all():
        raise TableError(f"{source}: the target {target!r} holds no value at all", "name another column as target")


def task_of(values: pd.Series, where: str, wanted: TaskName | None) -> tuple[TaskName, str, list[str]]:
    """Return the task, the reason, and what must be said when it might be the other.

    Text and truth values are labels; so are two different whole numbers, and up to 10 of which each stands in 10 rows
    or more. All other numbers are quantities.

    Parameters
    ----------
    values : Series, shape (n_rows,)
        The target's, none missing.
    where : str
        The target's name in messages.
    wanted : {"regression", "classification"}, optional
        The task whatever the values look like, if they allow it.

    Raises
    ------
    TableError
        When there are too few rows, or the values are all the same, dates, numbers spoilt by text, too many labels
        for their rows, or labels of one row.
    """
    if len(values) < FEWEST_ROWS:
        raise TableError(
            f"{where} has {len(values)} different rows with a value, too few to train, validate and test on",
            f"add rows, {FEWEST_ROWS} at the least",
        )
    kind = kind_of(values)
    if kind is None:
        raise TableError(f"{where} holds {shown(values.iloc[0])}, which is neither a number nor a label", OTHER_TARGET)
    if values.nunique() == 1:
        raise TableError(f"{where} is {shown(values.iloc[0])} in every row", "name a target that varies")
    task, reason = _task_of_kind(values, kind, where) if wanted is None else (wanted, "as --task says")
    if task == "regression" and kind == "text":
        raise TableError(
            f"{where} holds {shown(values.iloc[0])}; the target of a regression must be a number",
            "name another target, or leave --task away",
        )
    if task == "classification":
        _check_labels(values, where)
    doubt = []
    if wanted is None and kind == "number" and (task == "classification" or reason.endswith("labels as well")):
        other = "regression" if task == "classification" else "classification"
        doubt = [f"taken for a {task}, as the target has {reason}; otherwise give --task {other}"]
    return task, reason, doubt


def _task_of_kind(values: pd.Series, kind: str | None, where: str) -> tuple[TaskName, str]:
    if kind == "boolean":
        return "classification", "true or false"
    if kind == "text" and written_dates(as_text(values)):
        raise TableError(f"{where} holds dates, such as {shown(values.iloc[0])}", OTHER_TARGET)
    different = values.nunique()
    if kind == "text":
        flaw = flawed_numbers(as_text(values))
        if flaw:
            remedy = "correct or empty such values; if they are labels, give --task classification"
            raise TableError(f"{where} holds {flaw}", remedy)
        return "classification", f"text with {different} labels: {counted(values)}"
    if not _whole(values):
        return "regression", "numbers with fractions"
    least = int(values.value_counts().min())
    if different == 2 or (different <= MOST_LABELS and least >= LABEL_ROWS):
        return "classification", f"{different} different whole numbers: {counted(values)}"
    if different <= MOST_LABELS:
        return (
            "regression",
            f"{different} different whole numbers, one in {least} rows only, which may be labels as well",
        )
    if different <= AMBIGUOUS:
        return "regression", f"{different} different whole numbers, which may be labels as well"
    return "regression", f"{different:,} different numbers"


def _whole(values: pd.Series) -> bool:
    numbers = values.to_numpy(np.float64)
    return bool(np.isfinite(numbers).all() and (numbers == np.round(numbers)).all())


def _check_labels(values: pd.Series, where: str) -> None:
    counts = values.value_counts()
    if len(counts) > len(values) / 2:
        raise TableError(
            f"{where} has {len(counts):,} different values in {len(values):,} rows, too many to be labels",
            "name another target, or give --task regression if it is a number",
        )
    lonely = counts[counts == 1].index
    if len(lonely):
        first = ", ".join(shown(label) for label in lonely[:5]) + (", …" if len(lonely) > 5 else "")
        raise TableError(
            f"{where} has labels that stand in one row only, which cannot be both trained and tested on: {first}",
            "remove those rows, join the labels with others, or add rows",
        )
