"""What a table says of itself: task, columns that are no inputs or are codes, split, folds; each with its reason."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from pipeline.errors import TableError
from pipeline.features.columns import as_text
from pipeline.learn.search_params import SearchParams
from pipeline.params.schema import SplitParams, TrainParams
from pipeline.scaffold.columns import MOST_CATEGORIES, ColumnUse, OtherSplit, judge, light_curve
from pipeline.scaffold.target import TaskName, check_target, task_of
from pipeline.scaffold.text import plain, shown
from pipeline.tables.duplicates import duplicated

MANY_COPIES = 0.2  # a share of equal rows that few different values explain better than copies do
MINORITY = 0.2  # a binary target whose rarer label has a smaller share is imbalanced


@dataclass(frozen=True)
class Inferred:
    """What was inferred of a table.

    Attributes
    ----------
    target : str
    n_rows : int
        Rows that have a target and, unless copies are kept, equal no earlier row.
    task, task_reason : str
    keeps_copies : str
        Why rows that equal an earlier one all count; empty when they are dropped.
    drop, categorical : dict of str to str
        Columns with the reason, in the table's order; a target whose labels are codes is among `categorical`.
    inputs : dict of str to int
        How many columns are inputs, by what they hold: number, text, boolean.
    flux : bool
        Whether the table holds light curves.
    max_categories : int
    strategy, strategy_reason : str
        How rows are divided: random or stratified.
    other_splits : list of OtherSplit
    cv_folds : int
    folds_reason : str
        Empty when there are as many as usual.
    positive, imbalance : str
        The rarer label of an imbalanced binary target, and its share in words; else empty.
    notes : list of str
        What its user must know, the most important first.
    """

    target: str
    n_rows: int
    task: TaskName
    task_reason: str
    keeps_copies: str
    drop: dict[str, str]
    categorical: dict[str, str]
    inputs: dict[str, int]
    flux: bool
    max_categories: int
    strategy: Literal["random", "stratified"]
    strategy_reason: str
    other_splits: list[OtherSplit]
    cv_folds: int
    folds_reason: str
    positive: str
    imbalance: str
    notes: list[str]


def infer(table: pd.DataFrame, target: str, source: str, task: TaskName | None = None) -> Inferred:
    """Infer what params.yaml must say of a table.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        As `pipeline.tables.read.read_table` returns it.
    target : str
        The column to predict.
    source : str
        The table's name in messages.
    task : {"regression", "classification"}, optional
        Inferred from the target when absent.

    Raises
    ------
    TableError
        When the target is not a column, cannot be predicted, or no column is left to predict it from.
    """
    check_target(table, target, source)
    copies = duplicated(table)
    keeps_copies = bool(copies.mean() > MANY_COPIES)
    used = table if keeps_copies else table[~copies]
    table = used[used[target].notna()]
    values = plain(table[target])
    task, task_reason, doubt = task_of(values, f"{source}: the target {target!r}", task)
    flux = light_curve(table.drop(columns=target))
    verdicts = {
        str(name): judge(table[name], values, task == "regression")
        for name in table.columns
        if name != target and name not in flux
    }
    drop = {name: verdict.reason for name, verdict in verdicts.items() if verdict.use == "drop"}
    inputs = _kinds_of(verdicts, len(flux))
    if not inputs:
        raise TableError(
            f"{source} has no column to predict {target!r} from: "
            + "; ".join(f"{name}: {reason}" for name, reason in list(drop.items())[:5]),
            "add columns that hold numbers or few different texts",
        )
    leaks = [name for name, verdict in verdicts.items() if verdict.leak]
    notes = [f"{shown(name)} gives the target away and is dropped: it {drop[name]}" for name in leaks]
    notes += doubt
    notes += [f"{shown(name)}: {verdict.note}" for name, verdict in verdicts.items() if verdict.note]
    counts = values.value_counts() if task == "classification" else None
    strategy, strategy_reason, n_folds = _split_of(len(table), counts)
    if counts is not None and strategy == "random":
        notes.append(f"the split is random, not stratified: {strategy_reason}")
    positive, imbalance = _imbalance(counts)
    zeros = task == "classification" and values.astype("str").str.fullmatch(r"0\d+").any()
    codes = {target: "labels with leading zeros, to be read as they stand"} if zeros else {}
    usual = TrainParams.model_fields["cv_folds"].default
    folds_reason = "" if n_folds >= usual else "few rows" if counts is None else "as many as the rarest label allows"
    return Inferred(
        target=target,
        n_rows=len(table),
        task=task,
        task_reason=task_reason,
        drop=drop,
        keeps_copies=f"{copies.mean():.0%} of the rows equal an earlier one" if keeps_copies else "",
        categorical=codes
        | {name: verdict.reason for name, verdict in verdicts.items() if verdict.use == "categorical"},
        inputs=inputs,
        flux=bool(flux),
        max_categories=_max_categories(used, verdicts),
        strategy=strategy,
        strategy_reason=strategy_reason,
        other_splits=[verdict.other_split for verdict in verdicts.values() if verdict.other_split],
        cv_folds=min(n_folds, usual),
        folds_reason=folds_reason,
        positive=positive,
        imbalance=imbalance,
        notes=notes,
    )


def _kinds_of(verdicts: dict[str, ColumnUse], n_flux: int) -> dict[str, int]:
    kinds = {"number": n_flux, "text": 0, "boolean": 0}
    for verdict in verdicts.values():
        if verdict.use != "drop":
            kinds["text" if verdict.is_text else verdict.kind or "number"] += 1
    return {kind: count for kind, count in kinds.items() if count}


def _max_categories(table: pd.DataFrame, verdicts: dict[str, ColumnUse]) -> int:
    """Return the usual limit, or the next ten above the most values a text column has in any rows."""
    texts = [name for name, verdict in verdicts.items() if verdict.use != "drop" and verdict.is_text]
    most = max((table[name].nunique() for name in texts), default=0)
    return max(MOST_CATEGORIES, math.ceil(most / 10) * 10)


def _split_of(n_rows: int, counts: "pd.Series[int] | None") -> tuple[Literal["random", "stratified"], str, int]:
    """Return strategy, reason and the most folds possible."""
    n_test = math.ceil(n_rows * SplitParams.model_fields["test_size"].default)
    n_train = n_rows - n_test
    if counts is None:
        return "random", "", n_train // 2
    if n_test < len(counts):
        return "random", f"{len(counts)} labels are more than the {n_test} test rows", 2
    rarest, rows = counts.idxmin(), int(counts.min())
    of_rarest = rows * n_train // n_rows
    n_searched = SearchParams.model_fields["max_rows"].default
    if n_train > n_searched:  # of so many rows drawn at random: three deviations fewer than expected
        expected = of_rarest * n_searched / n_train
        of_rarest = int(expected - 3 * math.sqrt(expected))
    if of_rarest < 2:
        return "random", f"{shown(rarest)} stands in only {rows:,} of {n_rows:,} rows", 2
    return "stratified", "every label has its share of the test rows and of each fold", of_rarest


def _imbalance(counts: "pd.Series[int] | None") -> tuple[str, str]:
    if counts is None or len(counts) != 2 or counts.min() / counts.sum() >= MINORITY:
        return "", ""
    rarer: Hashable = counts.idxmin()
    text = str(as_text(pd.Series([rarer])).iloc[0])
    return text, f"{shown(rarer)} stands in {100 * counts.min() / counts.sum():.2g} % of the rows"
