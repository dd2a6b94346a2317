"""Infer the settings of a table: task, column roles, split and number of folds, each with its reason."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from pipeline.errors import TableError
from pipeline.features.columns import as_text
from pipeline.learn.search_params import SearchParams
from pipeline.params.schema import FeaturesParams, SplitParams, TrainParams
from pipeline.scaffold.columns import (
    DEFAULT_MAX_CATEGORIES,
    AlternativeSplit,
    ColumnUse,
    classify_column,
    light_curve_columns,
)
from pipeline.scaffold.leaks import Leak, find_leaks
from pipeline.scaffold.splits import choose_split_column
from pipeline.scaffold.target import TaskName, check_target, infer_task
from pipeline.scaffold.text_values import format_value, plain_values
from pipeline.tables.duplicates import duplicated

Strategy = Literal["random", "stratified", "group", "time"]
Features = dict[str, dict[str, tuple[str | list[str] | None, str]]]
MAX_DUPLICATE_SHARE = 0.2  # above it, equal rows are not copies: the columns have few possible values
MIN_CLASS_SHARE = 0.2  # a binary target with a rarer class is imbalanced
MAX_MISSING_SHARE = 0.5  # above it, a note counts the rows without a target


@dataclass(frozen=True)
class InferredSettings:
    """The settings inferred from a table.

    Attributes
    ----------
    target : str
    n_rows : int
        Rows with a target, without duplicates unless they are kept.
    task, task_reason : str
    n_duplicates : int
        Rows that equal an earlier row and are dropped.
    duplicates_reason : str
        Why duplicate rows are kept; empty if they are dropped.
    drop, categorical : dict of str to str
        The reason for each column, in the table's order; a target whose classes are codes is first in `categorical`.
    inputs : dict of str to int
        The number of input columns of each kind: number, text, boolean.
    flux : bool
        Whether the table has light curves.
    features : dict of str to dict of str to (value, reason)
        By key of `FeaturesParams`, the `FeatureSetting` value of each column and the reason.
    max_categories : int
    strategy, strategy_reason : str
        How rows are split.
    split_column : str, optional
        The column of the strategies group and time.
    alternative_splits : list of AlternativeSplit
    cv_folds : int
    folds_reason : str
        Why there are fewer folds than the default, or empty.
    positive, imbalance : str
        The rarer class of an imbalanced binary target, and a sentence with its share; otherwise empty.
    leaks : list of Leak
        Inputs that nearly determine the target.
    notes : list of str
        What the user must know, the most important first.
    """

    target: str
    n_rows: int
    task: TaskName
    task_reason: str
    n_duplicates: int
    duplicates_reason: str
    drop: dict[str, str]
    categorical: dict[str, str]
    inputs: dict[str, int]
    flux: bool
    features: Features
    max_categories: int
    strategy: Strategy
    strategy_reason: str
    split_column: str | None
    alternative_splits: list[AlternativeSplit]
    cv_folds: int
    folds_reason: str
    positive: str
    imbalance: str
    leaks: list[Leak]
    notes: list[str]

    @property
    def features_params(self) -> FeaturesParams:
        """The section ``features``."""
        sections = {
            key: [name for name, (value, _) in columns.items() if value is None]
            or {name: value for name, (value, _) in columns.items()}
            for key, columns in self.features.items()
        }
        return FeaturesParams.model_validate({"flux": self.flux, **sections})


def infer(table: pd.DataFrame, target: str, source: str, task: TaskName | None = None) -> InferredSettings:
    """Return the settings of params.yaml for a table.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        As `pipeline.tables.read.read_table` returns it.
    target : str
        The column to predict.
    source : str
        The name of the table in messages.
    task : {"regression", "classification"}, optional
        Inferred from the target by default.

    Raises
    ------
    TableError
        If the target is not a column or cannot be predicted, or no column is left to predict it from.
    """
    check_target(table, target, source)
    duplicates = duplicated(table)
    keeps_duplicates = bool(duplicates.mean() > MAX_DUPLICATE_SHARE)
    used = table if keeps_duplicates else table[~duplicates]
    table = used[used[target].notna()]
    values = plain_values(table[target])
    task, task_reason, task_notes = infer_task(values, f"{source}: the target {target!r}", task)
    flux = light_curve_columns(table.drop(columns=target))
    verdicts = {
        str(name): classify_column(table[name], values, task == "regression")
        for name in table.columns
        if name != target and name not in flux
    }
    split = choose_split_column(table.drop(columns=list(flux)), values, verdicts, task == "regression")
    if split.chosen and verdicts[split.chosen.column].use != "drop":
        verdicts[split.chosen.column] = ColumnUse("drop", f"the {split.chosen.strategy} of the split")
    drop = {name: verdict.reason for name, verdict in verdicts.items() if verdict.use == "drop"}
    inputs = _count_kinds(verdicts, len(flux))
    if not inputs:
        raise TableError(
            f"{source} has no column to predict {target!r} from: "
            + "; ".join(f"{name}: {reason}" for name, reason in list(drop.items())[:5]),
            "add numeric columns, or text columns with few different values",
        )
    leaks = find_leaks(table[[name for name in verdicts if name not in drop]], values, task == "regression")
    dropped_leaks = [name for name, verdict in verdicts.items() if verdict.is_leak]
    notes = [f"{format_value(name)} leaks the target and is dropped: it {drop[name]}" for name in dropped_leaks]
    notes += [leak.note for leak in leaks] + split.notes + task_notes
    notes += [f"{format_value(name)}: {verdict.note}" for name, verdict in verdicts.items() if verdict.note]
    counts = values.value_counts() if task == "classification" else None
    strategy, strategy_reason, n_folds = _choose_split(len(table), counts)
    if split.chosen:
        strategy, strategy_reason = split.chosen.strategy, split.chosen.reason.removeprefix("if ")
    if counts is not None and strategy == "random":
        notes.append(f"the split is random, not stratified: {strategy_reason}")
    if used[target].isna().mean() > MAX_MISSING_SHARE:
        notes.append(f"{len(used) - len(table):,} rows have no value in {format_value(target)} and are dropped")
    positive, imbalance = _imbalance(counts)
    zeros = task == "classification" and values.astype("str").str.fullmatch(r"0\d+").any()
    codes = {target: "labels with leading zeros, read as text"} if zeros else {}
    default_folds = TrainParams.model_fields["cv_folds"].default
    folds_reason = "" if n_folds >= default_folds else "few rows" if counts is None else "limited by the rarest class"
    return InferredSettings(
        target=target,
        n_rows=len(table),
        task=task,
        task_reason=task_reason,
        drop=drop,
        n_duplicates=0 if keeps_duplicates else int(duplicates.sum()),
        duplicates_reason=f"{duplicates.mean():.0%} of the rows equal an earlier row" if keeps_duplicates else "",
        categorical=codes
        | {name: verdict.reason for name, verdict in verdicts.items() if verdict.use == "categorical"},
        inputs=inputs,
        flux=bool(flux),
        features=_features(verdicts),
        max_categories=_max_categories(used, verdicts),
        strategy=strategy,
        strategy_reason=strategy_reason,
        split_column=split.chosen.column if split.chosen else None,
        alternative_splits=split.alternatives,
        cv_folds=min(n_folds, default_folds),
        folds_reason=folds_reason,
        positive=positive,
        imbalance=imbalance,
        leaks=leaks,
        notes=notes,
    )


def _features(verdicts: dict[str, ColumnUse]) -> Features:
    features: Features = {}
    for name, verdict in verdicts.items():
        if verdict.feature:
            features.setdefault(verdict.feature.key, {})[name] = (verdict.feature.value, verdict.reason)
    return features


def _count_kinds(verdicts: dict[str, ColumnUse], n_flux: int) -> dict[str, int]:
    kinds = {"number": n_flux, "text": 0, "boolean": 0}
    for verdict in verdicts.values():
        if verdict.use != "drop":
            kinds["text" if verdict.is_text else verdict.kind or "number"] += 1
    return {kind: count for kind, count in kinds.items() if count}


def _max_categories(table: pd.DataFrame, verdicts: dict[str, ColumnUse]) -> int:
    """Return the default limit, or the greatest number of values in a text column, rounded up to a multiple of ten."""
    texts = [
        name
        for name, verdict in verdicts.items()
        if verdict.use != "drop" and verdict.is_text and (not verdict.feature or verdict.feature.key == "ordered")
    ]
    most = max((table[name].nunique() for name in texts), default=0)
    return max(DEFAULT_MAX_CATEGORIES, math.ceil(most / 10) * 10)


def _choose_split(n_rows: int, counts: "pd.Series[int] | None") -> tuple[Strategy, str, int]:
    """Return the strategy, the reason, and the maximum number of folds."""
    n_test = math.ceil(n_rows * SplitParams.model_fields["test_size"].default)
    n_train = n_rows - n_test
    if counts is None:
        return "random", "", n_train // 2
    if n_test < len(counts):
        return "random", f"there are more classes ({len(counts)}) than test rows ({n_test})", 2
    rarest, rows = counts.idxmin(), int(counts.min())
    n_rarest = rows * n_train // n_rows
    n_searched = SearchParams.model_fields["max_rows"].default
    if n_train > n_searched:  # the search draws rows: allow for three standard deviations fewer
        expected = n_rarest * n_searched / n_train
        n_rarest = int(expected - 3 * math.sqrt(expected))
    if n_rarest < 2:
        return "random", f"{format_value(rarest)} is in only {rows:,} of {n_rows:,} rows", 2
    return "stratified", "each class has its share of the test rows and of each fold", n_rarest


def _imbalance(counts: "pd.Series[int] | None") -> tuple[str, str]:
    if counts is None or len(counts) != 2 or counts.min() / counts.sum() >= MIN_CLASS_SHARE:
        return "", ""
    rarer: Hashable = counts.idxmin()
    text = str(as_text(pd.Series([rarer])).iloc[0])
    return text, f"{format_value(rarer)} is in {100 * counts.min() / counts.sum():.2g} % of the rows"
