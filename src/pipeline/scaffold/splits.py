"""Test whether a random split is too optimistic: for new values of a column, or for the latest rows."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.formulas import FLOAT32_MAX
from pipeline.params.schema import TrainParams
from pipeline.scaffold import column_names
from pipeline.scaffold.columns import AlternativeSplit, ColumnUse, FeatureSetting
from pipeline.scaffold.group_columns import determines_another, group_codes, group_columns, sample_groups
from pipeline.scaffold.quick_fit import (
    MAX_ROWS,
    Comparison,
    QuickFit,
    group_and_random_folds,
    strongest_inputs,
    time_and_mixed_folds,
)
from pipeline.scaffold.text_values import format_value
from pipeline.support.yaml import quote

MIN_TESTED = 100  # rows; in fewer, the errors of quick models are chance
MAX_TESTED = 3  # columns
# An identifier with a name unlike one has many values, each in few rows: a person or thing, not a place or kind.
MIN_UNNAMED, MAX_UNNAMED_ROWS, MIN_TEXTS = 100, 50, 1000
MIN_TIMES = 50
MIN_DATES = 0.95  # share of the texts in a format of dates
# Ratios of the errors, and the difference in standard errors. A known identifier is noted for a small difference, and
# the split is by it or by time only for a clear one.
SLIGHTLY_WORSE, WORSE, CLEARLY_WORSE, MUCH_WORSE, MIN_T = 1.02, 1.1, 1.15, 1.25, 2.0


@dataclass(frozen=True)
class SplitChoice:
    """The split that the tests choose, and those that they do not.

    Attributes
    ----------
    chosen : AlternativeSplit, optional
        None if a random or stratified split will do.
    alternatives : list of AlternativeSplit
        In the table's order, with the figures of the tests in the reasons.
    notes : list of str
        For each split that a random one is too optimistic for.
    """

    chosen: AlternativeSplit | None
    alternatives: list[AlternativeSplit]
    notes: list[str]


@dataclass(frozen=True)
class _Finding:
    split: AlternativeSplit
    comparison: Comparison
    is_optimistic: bool
    is_clear: bool

    def note(self, is_chosen: bool, feature: FeatureSetting | None) -> str:
        compared = self.comparison
        rows = "new values" if self.split.strategy == "group" else "the latest rows, predicted from earlier ones,"
        text = (
            f"{format_value(self.split.column)}: {compared.metric} for {rows} is {compared.honest:.3g}, but "
            f"{compared.random:.3g} with a random split"
        )
        if is_chosen:
            return f"{text}; the split is by {self.split.strategy}"
        setting = f"dataset.split: {{strategy: {self.split.strategy}, column: {quote(self.split.column)}}}"
        purpose = "if you predict for new values" if self.split.strategy == "group" else self.split.reason
        removal = f", and remove it from features.{feature.key}" if feature else ""
        return f"{text}; {purpose}, set {setting}{removal}"


def choose_split_column(
    table: pd.DataFrame, target: pd.Series, verdicts: Mapping[str, ColumnUse], is_regression: bool
) -> SplitChoice:
    """Compare the error of quick models on a random split with that on splits by group and by time.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        The rows with a target.
    target : Series, shape (n_rows,)
    verdicts : mapping of str to ColumnUse
    is_regression : bool
    """
    findings: list[_Finding] = []
    used = [name for name, verdict in verdicts.items() if _is_used(verdict)]
    is_huge = is_regression and np.abs(target.to_numpy(np.float64)).max() > FLOAT32_MAX
    if len(table) >= MIN_TESTED and used and not is_huge:
        inputs = strongest_inputs(table[used], target, is_regression)
        findings = [
            *_test_groups(table, target, verdicts, inputs, is_regression),
            *_test_times(table, target, verdicts, inputs, is_regression),
        ]
    chosen = next((finding for finding in findings if finding.is_clear), None)
    splits = {name: verdict.alternative_split for name, verdict in verdicts.items() if verdict.alternative_split}
    for finding in findings:
        if finding.is_optimistic or finding.split.column in splits:
            reason = f"{finding.split.reason}: {finding.comparison}"
            splits[finding.split.column] = AlternativeSplit(finding.split.strategy, finding.split.column, reason)
    split = splits.pop(chosen.split.column) if chosen else None
    alternatives = [splits[name] for name in verdicts if name in splits]
    notes = [
        finding.note(finding is chosen, verdicts[finding.split.column].feature)
        for finding in findings
        if finding.is_optimistic
    ]
    return SplitChoice(split, alternatives, notes)


def _test_groups(
    table: pd.DataFrame, target: pd.Series, verdicts: Mapping[str, ColumnUse], inputs: list[str], is_regression: bool
) -> Iterator[_Finding]:
    for name in group_columns(table, target, verdicts, is_regression)[:MAX_TESTED]:
        verdict, groups = verdicts[name], group_codes(table[name])
        rows = sample_groups(groups, MAX_ROWS)
        used = inputs if verdict.use == "drop" or name in inputs else [*inputs, name]
        fit = QuickFit.from_table(table[used].iloc[rows], target.iloc[rows], is_regression)
        sample = np.unique(groups[rows], return_inverse=True)[1]
        # A number stays an input, because trees interpolate what it measures; the code of a text says nothing.
        without = name if verdict.is_text else ""
        compared = fit.compare(partial(group_and_random_folds, sample), without, sample)
        is_named = verdict.alternative_split is not None or column_names.is_owner_name(name)
        is_identity = is_named or (verdict.use == "drop" and groups.max() >= MIN_TEXTS)
        if not is_named and not column_names.is_postal_code_name(name) and compared.ratio >= MUCH_WORSE:
            few_rows = len(table) <= MAX_UNNAMED_ROWS * (groups.max() + 1) and groups.max() >= MIN_UNNAMED
            is_identity |= few_rows and determines_another(table, groups)
        least = SLIGHTLY_WORSE if is_identity else WORSE if verdict.use == "drop" else MUCH_WORSE
        is_optimistic = compared.t >= MIN_T and compared.ratio >= least
        is_clear = (
            is_optimistic
            and is_identity
            and inputs != [name]
            and compared.ratio >= CLEARLY_WORSE
            and _has_enough_groups(target, groups, is_regression)
        )
        reason = "if rows with the same value belong together"
        yield _Finding(AlternativeSplit("group", name, reason), compared, is_optimistic, bool(is_clear))


def _test_times(
    table: pd.DataFrame, target: pd.Series, verdicts: Mapping[str, ColumnUse], inputs: list[str], is_regression: bool
) -> Iterator[_Finding]:
    splits = {name: verdict.alternative_split for name, verdict in verdicts.items()}
    dates = [name for name, split in splits.items() if split and split.strategy == "time"]
    for name in dates[:MAX_TESTED] or [name for name in verdicts if column_names.words(name) == ["year"]]:
        verdict, split = verdicts[name], splits[name]
        times = times_of(table[name])
        late = _late(times)
        if late is None:
            continue
        rows = np.random.default_rng(0).permutation(len(table))[:MAX_ROWS]
        rows = np.sort(rows[np.isfinite(times[rows])])
        used = table[inputs].iloc[rows]
        if _is_used(verdict):
            used[name] = times[rows]
        fit = QuickFit.from_table(used, target.iloc[rows], is_regression)
        compared = fit.compare(partial(time_and_mixed_folds, late[rows]), "", np.arange(len(rows)))
        is_optimistic = compared.t >= MIN_T and compared.ratio >= WORSE
        split = split or AlternativeSplit("time", name, "to test on the latest rows")
        is_clear = (
            is_optimistic
            and name in dates
            and "first" not in split.reason
            and compared.ratio >= MUCH_WORSE
            and len(np.unique(times)) >= MIN_TIMES
            and (is_regression or set(target.iloc[np.argsort(times)[: len(times) // 8]]) == set(target))
        )
        yield _Finding(split, compared, is_optimistic, bool(is_clear))


def _is_used(verdict: ColumnUse) -> bool:
    """Return whether quick models use a column; they overfit on dates, which a split by time excludes anyway."""
    return verdict.use != "drop" and not (verdict.feature and verdict.feature.key == "dates")


def times_of(column: pd.Series) -> NDArray[np.float64]:
    """Return numbers, dates or texts of dates as numbers to sort by; NaN for what is not a date."""
    if pd.api.types.is_numeric_dtype(column):
        return np.asarray(column.to_numpy(np.float64, na_value=np.nan), dtype=np.float64)
    if pd.api.types.is_datetime64_any_dtype(column):
        return np.where(column.isna(), np.nan, column.astype("int64").to_numpy(np.float64))
    codes, distinct = pd.factorize(column.astype("str").where(column.notna()))
    texts = pd.Series(distinct)
    dates = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about texts in no common format
        for day_first in (False, True):
            if dates.notna().mean() < MIN_DATES:
                found = pd.to_datetime(texts, dayfirst=day_first, errors="coerce", utc=True)
                dates = found if found.notna().sum() > dates.notna().sum() else dates
    numbers = dates.astype("int64").astype("float64").where(dates.notna()).to_numpy()
    return np.asarray(np.append(numbers, np.nan)[codes], dtype=np.float64)


def _late(times: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    """Return which rows are the last fifth, without dividing a time; None if too few are."""
    known = times[np.isfinite(times)]
    if len(known) < MIN_TESTED:
        return None
    limit = np.quantile(known, 0.8)
    late = times > limit if (known > limit).mean() >= 0.1 else times >= limit
    return late if 0.1 <= late.sum() / len(known) <= 0.5 else None


def _has_enough_groups(target: pd.Series, groups: NDArray[np.intp], is_regression: bool) -> bool:
    """Return whether groups, and those with the class in the fewest groups, suffice for the folds."""
    n_needed = 2 * TrainParams.model_fields["cv_folds"].default
    if is_regression:
        return bool(groups.max() + 1 >= n_needed)
    return bool(pd.Series(groups, index=target.index).groupby(target).nunique().min() >= n_needed)
