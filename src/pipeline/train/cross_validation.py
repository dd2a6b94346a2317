"""Cross-validation of XGBoost parameters on folds that are binned once and shared by all candidates."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.train.side_by_side import side_by_side

if TYPE_CHECKING:
    from xgboost import QuantileDMatrix

XGBoostParams = dict[str, Any]
SCORED_ROUNDS = 100  # of a cross-validation: scoring takes as long as a third of a round
FoldTables = tuple[pd.DataFrame, NDArray[np.float64], pd.DataFrame, NDArray[np.float64]]


@dataclass(frozen=True)
class Fold:
    """One division of the training rows, binned for XGBoost."""

    train: "QuantileDMatrix"
    valid: "QuantileDMatrix"
    y_valid: NDArray[np.float64]


@dataclass(frozen=True)
class CrossValidation:
    """What one set of parameters scored along its boosting rounds.

    Attributes
    ----------
    rounds : list of int
        The rounds, from 1, after which the folds were scored.
    train_curves, valid_curves : list of list of float
        RMSE in the target's unit after these rounds, one list per fold.
    """

    rounds: list[int]
    train_curves: list[list[float]]
    valid_curves: list[list[float]]

    @property
    def n_rounds(self) -> int:
        """Boosting rounds behind `fold_rmse`: the last."""
        return self.rounds[-1]

    @property
    def fold_rmse(self) -> list[float]:
        """RMSE on each fold's validation rows."""
        return [curve[-1] for curve in self.valid_curves]

    @property
    def rmse_mean(self) -> float:
        """Mean of the folds' RMSE."""
        return float(np.mean(self.fold_rmse))

    @property
    def rmse_std(self) -> float:
        """Standard deviation of the folds' RMSE."""
        return float(np.std(self.fold_rmse))

    def at_best_round(self) -> "CrossValidation":
        """Return the scores at the round with the lowest mean RMSE over the folds."""
        best = int(np.argmin(np.mean(self.valid_curves, axis=0))) + 1
        return CrossValidation(
            self.rounds[:best],
            [curve[:best] for curve in self.train_curves],
            [curve[:best] for curve in self.valid_curves],
        )


def by_fold(fold_rmse: Sequence[float]) -> dict[str, float]:
    """Return each fold's RMSE by the name it is logged under."""
    return {f"fold_{number}_rmse": value for number, value in enumerate(fold_rmse, start=1)}


def bin_folds(tables: Iterable[FoldTables], n_jobs: int) -> list[Fold]:
    """Bin the features of every fold; validation rows are binned by their training rows' bins.

    Parameters
    ----------
    tables : iterable of (X_train, y_train, X_valid, y_valid)
        Features, shapes (n_rows, n_features), and targets, shapes (n_rows,), of each fold.
    n_jobs : int
        Threads.
    """
    from xgboost import QuantileDMatrix

    folds = []
    for X_train, y_train, X_valid, y_valid in tables:
        binned = QuantileDMatrix(X_train, label=y_train, nthread=n_jobs)
        valid = QuantileDMatrix(X_valid, label=y_valid, ref=binned, nthread=n_jobs)
        folds.append(Fold(binned, valid, y_valid))
    return folds


def cross_validate(params: XGBoostParams, folds: Sequence[Fold], rounds: int) -> CrossValidation:
    """Fit `params` on each fold for exactly `rounds`, and score it on the way, about `SCORED_ROUNDS` times.

    Parameters
    ----------
    params : dict
        Parameters of XGBoost's native interface, with ``nthread``: threads in all.
    folds : sequence of Fold
        From `bin_folds`.
    rounds : int
        Boosting rounds.
    """
    step = max(1, rounds // SCORED_ROUNDS)
    scored = sorted({1, *range(step, rounds, step), rounds})

    curves = side_by_side(partial(_curves, scored=scored), [(params, fold) for fold in folds])
    return CrossValidation(scored, [train for train, _ in curves], [valid for _, valid in curves])


def _curves(params: XGBoostParams, fold: Fold, scored: Sequence[int]) -> tuple[list[float], list[float]]:
    from xgboost import Booster

    booster, done = Booster(params, [fold.train, fold.valid]), 0
    train, valid = list[float](), list[float]()
    for rounds in scored:
        for number in range(done, rounds):
            booster.update(fold.train, number)
        done = rounds
        # "[9]\ttrain-rmse:0.5\tvalid-rmse:0.6"
        line = booster.eval_set([(fold.train, "train"), (fold.valid, "valid")])
        for curve, part in zip((train, valid), line.split("\t")[1:], strict=True):
            curve.append(float(part.rpartition(":")[2]))
    return train, valid


def score_curve(params: XGBoostParams, fold: Fold, max_rounds: int, patience: int | None = None) -> list[float]:
    """Fit `params` on a fold for `max_rounds`, or until `patience` rounds bring no better validation score.

    Returns
    -------
    list of float
        RMSE on the validation rows after each round, those of the patience included.
    """
    import xgboost as xgb

    history: dict[str, dict[str, list[float]]] = {}
    xgb.train(
        params,
        fold.train,
        max_rounds,
        evals=[(fold.valid, "valid")],
        evals_result=history,
        early_stopping_rounds=patience,
        verbose_eval=False,
    )
    return history["valid"]["rmse"]


def squared_errors(params: XGBoostParams, fold: Fold, rounds: int) -> NDArray[np.float64]:
    """Fit `params` on a fold for exactly `rounds`, and return each validation row's squared error."""
    import xgboost as xgb

    booster = xgb.train(params, fold.train, rounds)
    return np.square(np.asarray(booster.predict(fold.valid), dtype=np.float64) - fold.y_valid)
