"""Cross-validation of XGBoost parameters on folds that are binned once and shared by all candidates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xgboost import QuantileDMatrix

XGBoostParams = dict[str, Any]


@dataclass(frozen=True)
class Fold:
    """One division of the training rows, binned for XGBoost."""

    train: "QuantileDMatrix"
    valid: "QuantileDMatrix"


@dataclass(frozen=True)
class CrossValidation:
    """What one set of parameters scored.

    Attributes
    ----------
    fold_rmse : list of float
        RMSE on each fold's validation rows, in the target's unit, at `fold_rounds`.
    fold_rounds : list of int
        Boosting rounds used in each fold.
    train_curves, valid_curves : list of list of float
        RMSE after each round, one list per fold; `train_curves` is empty unless asked for.
    """

    fold_rmse: list[float]
    fold_rounds: list[int]
    valid_curves: list[list[float]]
    train_curves: list[list[float]] = field(default_factory=list)

    @property
    def rmse_mean(self) -> float:
        """Mean of the folds' RMSE."""
        return float(np.mean(self.fold_rmse))

    @property
    def rmse_std(self) -> float:
        """Standard deviation of the folds' RMSE."""
        return float(np.std(self.fold_rmse))

    @property
    def by_fold(self) -> dict[str, float]:
        """Each fold's RMSE by the name it is logged under."""
        return {f"fold_{number}_rmse": value for number, value in enumerate(self.fold_rmse, start=1)}

    @property
    def n_estimators(self) -> int:
        """Rounds to fit on all training rows: the mean over the folds."""
        return max(1, round(float(np.mean(self.fold_rounds))))


def bin_folds(
    X: pd.DataFrame, y: NDArray[np.float64], rows: Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]], n_jobs: int
) -> list[Fold]:
    """Bin the features of every fold; validation rows are binned by their training rows' bins.

    Parameters
    ----------
    X : DataFrame of float64, shape (n_rows, n_features)
    y : array of float64, shape (n_rows,)
    rows : sequence of (train, valid)
        Positions in `X`.
    n_jobs : int
        Threads.
    """
    from xgboost import QuantileDMatrix

    folds = []
    for train, valid in rows:
        binned = QuantileDMatrix(X.iloc[train], label=y[train], nthread=n_jobs)
        folds.append(Fold(binned, QuantileDMatrix(X.iloc[valid], label=y[valid], ref=binned, nthread=n_jobs)))
    return folds


def cross_validate(
    params: XGBoostParams, folds: Sequence[Fold], rounds: int, patience: int | None = None, curves: bool = False
) -> CrossValidation:
    """Fit `params` on each fold and score them on its validation rows.

    Parameters
    ----------
    params : dict
        Parameters of XGBoost's native interface.
    folds : sequence of Fold
        From `bin_folds`.
    rounds : int
        Boosting rounds; with `patience`, the most of them.
    patience : int, optional
        Stop a fold after this many rounds without a better validation score, and score it at its best round.
        Without it, every fold is scored at exactly `rounds`.
    curves : bool
        Also record the score on the training rows after each round.
    """
    import xgboost as xgb

    scores, used, valid_curves, train_curves = [], [], [], []
    for fold in folds:
        history: dict[str, dict[str, list[float]]] = {}
        watched = ([(fold.train, "train")] if curves else []) + [(fold.valid, "valid")]
        booster = xgb.train(
            params,
            fold.train,
            num_boost_round=rounds,
            evals=watched,
            evals_result=history,
            early_stopping_rounds=patience,
            verbose_eval=False,
        )
        curve = history["valid"]["rmse"]
        best = booster.best_iteration if patience else rounds - 1
        scores.append(curve[best])
        used.append(best + 1)
        valid_curves.append(curve)
        if curves:
            train_curves.append(history["train"]["rmse"])
    return CrossValidation(scores, used, valid_curves, train_curves)
