"""Find inputs that nearly determine the target alone, by their missing values, or as the sum or difference of two."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import infer_kind, overflow_to_nan
from pipeline.features.formulas import FLOAT32_MAX
from pipeline.scaffold.quick_fit import as_codes
from pipeline.scaffold.text_values import format_value
from pipeline.support.yaml import quote

MIN_ROWS, MIN_CLASS_ROWS = 50, 5
MAX_ROWS, MIN_SAMPLE, MAX_VALUES = 10_000, 500, 3_000_000
MAX_R2, MAX_AUC = 0.999, 0.995
MAX_DEPTH, FOLDS = 8, 3
MAX_TREES = 24  # columns
# How much less the target varies between rows with adjacent values of a column, before a tree is fitted.
MAX_ROUGHNESS, MAX_CLASS_ROUGHNESS = 0.05, 0.7
MAX_SUM_COLUMNS, SUM_SAMPLE, MIN_EQUAL = 200, 40, 0.995


@dataclass(frozen=True)
class Leak:
    """Inputs that nearly determine the target.

    Attributes
    ----------
    columns : tuple of str
    finding : str
        What reveals the target, with the figure.
    """

    columns: tuple[str, ...]
    finding: str

    @property
    def note(self) -> str:
        """What the user must know."""
        names = " and ".join(format_value(name) for name in self.columns)
        lines = ", ".join(quote(name) for name in self.columns)
        known = "it is" if len(self.columns) == 1 else "they are"
        return f"{names}: {self.finding}; unless {known} known when you predict, add to dataset.drop: {lines}"


def find_leaks(table: pd.DataFrame, target: pd.Series, is_regression: bool) -> list[Leak]:
    """Return the inputs that nearly determine the target.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_inputs)
    target : Series, shape (n_rows,)
    is_regression : bool
    """
    rows = np.random.default_rng(0).permutation(len(table))[
        : min(MAX_ROWS, max(MIN_SAMPLE, MAX_VALUES // max(table.shape[1], 1)))
    ]
    y = target.iloc[rows].to_numpy(np.float64) if is_regression else pd.factorize(target.iloc[rows])[0].astype(float)
    if table.empty or len(rows) < MIN_ROWS or not np.ptp(y) or np.abs(y).max() > FLOAT32_MAX:
        return []
    is_class = [] if is_regression else [y == label for label in range(int(y.max()) + 1)]
    is_class = [is_label for is_label in is_class if is_label.sum() >= MIN_CLASS_ROWS]
    if not is_regression and len(is_class) < 2:
        return []
    sample = table.iloc[rows]
    x = np.column_stack([as_codes(sample.iloc[:, number]) for number in range(sample.shape[1])])
    found = _missing(np.isnan(x), y, is_class)
    roughness = _roughness(x, y, bool(is_class))
    limit = MAX_CLASS_ROUGHNESS if is_class else MAX_ROUGHNESS
    for number in np.argsort(roughness, kind="stable")[:MAX_TREES].tolist():
        if roughness[number] < limit and number not in found and (finding := _alone(x[:, [number]], y, is_class)):
            found[number] = finding
    leaks = [Leak((str(table.columns[number]),), found[number]) for number in sorted(found)]
    if not is_regression:
        return leaks
    others = table.iloc[:, [number for number in range(table.shape[1]) if number not in found]]
    numbers = [name for name in others if infer_kind(others[name]) == "number"]
    return [*leaks, *_sums(others[numbers[:MAX_SUM_COLUMNS]], target)]


def _missing(absent: NDArray[np.bool_], y: NDArray[np.float64], is_class: list[NDArray[np.bool_]]) -> dict[int, str]:
    """Return the finding for each column whose missing values determine the target or a class."""
    counts = absent.sum(axis=0)
    found: dict[int, str] = {}
    for number in np.flatnonzero((counts >= MIN_CLASS_ROWS) & (counts <= len(y) - MIN_CLASS_ROWS)).tolist():
        column = absent[:, number]
        if is_class:
            auc = max(0.5 + abs(column[is_label].mean() - column[~is_label].mean()) / 2 for is_label in is_class)
            if auc > MAX_AUC:
                found[number] = f"whether a value is missing determines a class (AUC {auc:.4f})"
        elif (r2 := np.corrcoef(column, y)[0, 1] ** 2) > MAX_R2:
            found[number] = f"whether a value is missing determines the target (R² {r2:.4f})"
    return found


def _roughness(x: NDArray[np.float64], y: NDArray[np.float64], are_classes: bool) -> NDArray[np.float64]:
    """Return how much the target differs between rows with adjacent values, as a share of that between any rows."""
    steps = np.diff(y[np.argsort(x, axis=0, kind="stable")], axis=0)
    if not are_classes:
        return np.asarray((steps**2).mean(axis=0) / (2 * y.var()), dtype=np.float64)
    shares = np.bincount(y.astype(int)) / len(y)
    return np.asarray((steps != 0).mean(axis=0) / (1 - (shares**2).sum()), dtype=np.float64)


def _alone(x: NDArray[np.float64], y: NDArray[np.float64], is_class: list[NDArray[np.bool_]]) -> str:
    """Return the finding if a tree predicts the target from a column out of fold, else an empty text."""
    from sklearn.metrics import r2_score, roc_auc_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    folds = np.empty(len(y), dtype=int)
    folds[np.argsort(y, kind="stable")] = np.arange(len(y)) % FOLDS
    if not is_class:
        predicted = np.empty(len(y))
        for fold in range(FOLDS):
            tree = DecisionTreeRegressor(max_depth=MAX_DEPTH, random_state=0).fit(x[folds != fold], y[folds != fold])
            predicted[folds == fold] = tree.predict(x[folds == fold])
        present = np.isfinite(x[:, 0])
        line = np.corrcoef(x[present, 0], y[present])[0, 1] ** 2 if present.mean() > MAX_R2 else 0.0
        r2 = max(r2_score(y, predicted), line)
        return f"nearly determines the target alone (R² {r2:.4f})" if r2 > MAX_R2 else ""
    scores = np.zeros((len(y), int(y.max()) + 1))
    for fold in range(FOLDS):
        leaf = DecisionTreeClassifier(max_depth=MAX_DEPTH, min_samples_leaf=MIN_CLASS_ROWS, random_state=0)
        leaf.fit(x[folds != fold], y[folds != fold])
        scores[np.ix_(folds == fold, leaf.classes_.astype(int))] = leaf.predict_proba(x[folds == fold])
    auc = float(np.mean([roc_auc_score(label, scores[:, int(y[label.argmax()])]) for label in is_class]))
    return f"nearly determines the target alone (AUC {auc:.4f})" if auc > MAX_AUC else ""


def _sums(numbers: pd.DataFrame, target: pd.Series) -> list[Leak]:
    """Return the pairs of columns whose sum or difference is the target."""
    values = overflow_to_nan(numbers.to_numpy(np.float64, na_value=np.nan))
    y = target.to_numpy(np.float64)
    tolerance = _rounding(y) + 1e-6 * np.abs(y)
    rows = np.random.default_rng(1).permutation(len(y))[:SUM_SAMPLE]
    rest = (y[:, None] - values)[rows]
    leaks: list[Leak] = []
    for sign, word in ((1, "plus"), (-1, "minus")):
        error = np.abs(rest[:, :, None] - sign * values[rows][:, None, :])
        known = np.isfinite(error)
        fits = (error <= tolerance[rows][:, None, None]).sum(axis=(0,)) >= np.maximum(known.sum(axis=0) * 0.95, 10)
        for first, second in np.argwhere(fits):
            if first == second or (sign == 1 and first > second):
                continue
            error_all = np.abs(y - values[:, first] - sign * values[:, second])
            present = np.isfinite(error_all)
            share = (error_all <= tolerance)[present].mean()
            if present.mean() >= 0.5 and share >= MIN_EQUAL:
                pair = str(numbers.columns[first]), str(numbers.columns[second])
                rows_text = "every row" if share == 1 else f"{share:.2%} of the rows"
                leaks.append(Leak(pair, f"the first {word} the second is the target in {rows_text}"))
    return leaks


def _rounding(y: NDArray[np.float64]) -> float:
    """Return the unit in the last decimal place of rounded fractional numbers, if it is small; else 0."""
    for decimals in range(1, 5):
        if (np.abs(y * 10**decimals - np.round(y * 10**decimals)) < 1e-6).all():
            is_fractional = (y != np.round(y)).any()
            return 10.0**-decimals if is_fractional and 10.0**-decimals < 0.01 * y.std() else 0.0
    return 0.0
