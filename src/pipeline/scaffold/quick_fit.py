"""Compare ways to split a table by the errors of quick models on a sample of its rows."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import infer_kind, overflow_to_nan

MAX_ROWS = 12_000
MAX_INPUTS = 32
MAX_CORRELATED = 2000  # rows
MAX_CLASSES = 2  # less frequent classes count as one more
FOLDS = 3
REPEATS = 3  # of the folds, if the first ones leave doubt
MIN_RATIO, CLEAR_RATIO = 1.02, 1.5
PARAMS: dict[str, Any] = {
    "learning_rate": 0.3,
    "max_depth": 6,
    "max_bin": 64,
    "base_score": 0.5,
    "nthread": 1,
    "verbosity": 0,
}
N_TREES = 25  # half as many for each of three classes

Rows = NDArray[np.intp]
Fold = tuple[Rows, Rows]
FoldPair = tuple[list[Fold], list[Fold]]


@dataclass(frozen=True)
class Comparison:
    """The error of quick models by an honest split and by a random one.

    Attributes
    ----------
    metric : str
    honest, random : float
        RMSE or log loss of the same rows.
    t : float
        The mean difference of the losses of the clusters, in standard errors.
    """

    metric: str
    honest: float
    random: float
    t: float

    @property
    def ratio(self) -> float:
        """The honest error, as a multiple of the random one."""
        return self.honest / self.random if self.random else np.inf

    def __str__(self) -> str:
        return f"{self.metric} {self.honest:.3g} instead of {self.random:.3g} with a random split"


@dataclass(frozen=True)
class QuickFit:
    """Rows of a table as numbers, to fit quick models on.

    Attributes
    ----------
    inputs : DataFrame of float, shape (n_rows, n_inputs)
    target : array, shape (n_rows,)
        Numbers, or classes as integers from 0.
    n_classes : int
        0 for a regression.
    """

    inputs: pd.DataFrame
    target: NDArray[np.float64]
    n_classes: int

    @classmethod
    def from_table(cls, inputs: pd.DataFrame, target: pd.Series, is_regression: bool) -> "QuickFit":
        """Return the rows of a table with texts as numbers."""
        numbers = pd.DataFrame({name: as_codes(inputs[name]) for name in inputs})
        if is_regression:
            return cls(numbers, target.to_numpy(np.float64), 0)
        y = class_codes(target)
        return cls(numbers, y, int(y.max()) + 1)

    def compare(self, folds: Callable[[int], FoldPair], without: str, clusters: Rows) -> Comparison:
        """Return the errors of the rows that both the honest and the random folds validate.

        Parameters
        ----------
        folds : callable
            Returns folds of both kinds for a random seed.
        without : str
            An input that the honest split does not use, or "".
        clusters : array of int, shape (n_rows,)
            Rows with the same number are not independent.
        """
        honest: list[NDArray[np.float64]] = []
        random: list[NDArray[np.float64]] = []
        for seed in range(REPEATS):
            honest_folds, random_folds = folds(seed)
            honest.append(self._losses(honest_folds, without))
            random.append(self._losses(random_folds, ""))
            comparison = self._comparison(np.mean(honest, axis=0), np.mean(random, axis=0), clusters)
            if comparison.t < 0 or not MIN_RATIO < comparison.ratio < CLEAR_RATIO:
                break
        return comparison

    def _comparison(self, honest: NDArray[np.float64], random: NDArray[np.float64], clusters: Rows) -> Comparison:
        tested = np.isfinite(honest) & np.isfinite(random)
        sums = np.bincount(np.unique(clusters[tested], return_inverse=True)[1], (honest - random)[tested])
        signed = np.sign(sums) * np.sqrt(np.abs(sums))  # a few large losses must not hide the others
        error = signed.std() / np.sqrt(len(signed))
        metric, root = ("log loss", float) if self.n_classes else ("RMSE", np.sqrt)
        t = float(signed.mean() / error) if error else 0.0
        return Comparison(metric, float(root(honest[tested].mean())), float(root(random[tested].mean())), t)

    def _losses(self, folds: Iterable[Fold], without: str) -> NDArray[np.float64]:
        """Return the squared error or log loss of each row that the folds validate; NaN for the others."""
        import xgboost

        inputs = self.inputs.drop(columns=without, errors="ignore").to_numpy(np.float32)
        losses = np.full(len(inputs), np.nan)
        scale = self.target.std() or 1.0
        params = PARAMS.copy()
        if self.n_classes == 2:
            params["objective"] = "binary:logistic"
        elif self.n_classes:
            params |= {"objective": "multi:softprob", "num_class": self.n_classes}
        n_trees = N_TREES if self.n_classes <= 2 else N_TREES // 2
        for train, valid in folds:
            y, y_valid = self.target[train], self.target[valid]
            center = 0.0 if self.n_classes else y.mean()
            divisor = 1.0 if self.n_classes else scale
            data = xgboost.QuantileDMatrix(inputs[train], (y - center) / divisor, max_bin=PARAMS["max_bin"], nthread=1)
            outputs = xgboost.train(params, data, n_trees).inplace_predict(inputs[valid])
            if not self.n_classes:
                losses[valid] = (outputs * scale + center - y_valid) ** 2
                continue
            shares = np.column_stack([1 - outputs, outputs]) if self.n_classes == 2 else outputs
            losses[valid] = -np.log(np.clip(shares[np.arange(len(valid)), y_valid.astype(int)], 1e-6, 1))
        return losses


def as_codes(column: pd.Series) -> NDArray[np.float64]:
    """Return a column as numbers, texts and other values numbered in sorted order; NaN where a value is missing."""
    if infer_kind(column) in ("number", "boolean"):
        return overflow_to_nan(np.asarray(column.to_numpy(np.float64, na_value=np.nan), dtype=np.float64))
    codes = pd.factorize(column.astype("str").where(column.notna()), sort=True)[0].astype(np.float64)
    return np.where(codes < 0, np.nan, codes)


def strongest_inputs(inputs: pd.DataFrame, target: pd.Series, is_regression: bool) -> list[str]:
    """Return the inputs that correlate most with the target, or all if there are few."""
    if inputs.shape[1] <= MAX_INPUTS:
        return list(inputs.columns)
    rows = np.random.default_rng(0).permutation(len(inputs))[:MAX_CORRELATED]
    y = target.iloc[rows].to_numpy(np.float64) if is_regression else class_codes(target.iloc[rows])
    sample = inputs.iloc[rows]
    x = np.column_stack([as_codes(sample.iloc[:, number]) for number in range(sample.shape[1])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns without a value
        x = np.nan_to_num(x - np.nanmean(x, axis=0))
    scale = np.sqrt((x**2).sum(axis=0))
    strength = np.abs((y - y.mean()) @ x) / np.where(scale, scale, np.inf)
    return list(inputs.columns[np.sort(np.argsort(-strength, kind="stable")[:MAX_INPUTS])])


def class_codes(target: pd.Series) -> NDArray[np.float64]:
    """Return classes as numbers, the most frequent first; those beyond `MAX_CLASSES` have the same number."""
    order = target.value_counts().index
    codes = pd.Series(range(len(order)), index=order)
    return np.minimum(target.map(codes).to_numpy(np.float64), MAX_CLASSES)


def group_and_random_folds(groups: Rows, seed: int) -> FoldPair:
    """Return folds that do not divide groups, and folds of random rows."""
    rng = np.random.default_rng(seed)
    return _folds(rng.permutation(int(groups.max()) + 1)[groups]), _folds(rng.permutation(len(groups)))


def time_and_mixed_folds(late: NDArray[np.bool_], seed: int) -> FoldPair:
    """Return a fold that trains on the early rows, and two that also train on half of the late ones.

    All validate late rows, and train on the same number of rows.
    """
    rng = np.random.default_rng(seed)
    early_rows, late_rows = rng.permutation(np.flatnonzero(~late)), rng.permutation(np.flatnonzero(late))
    halves = late_rows[::2], late_rows[1::2]
    mixed = [
        (np.concatenate([early_rows[: len(early_rows) - len(known)], known]), unknown)
        for known, unknown in (halves, halves[::-1])
    ]
    return [(early_rows, late_rows)], mixed


def _folds(numbers: Rows) -> list[Fold]:
    return [(np.flatnonzero(numbers % FOLDS != fold), np.flatnonzero(numbers % FOLDS == fold)) for fold in range(FOLDS)]
