"""The final fit of an experiment, with every parameter stated, under MLflow's autologging."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.params import TrainParams
from pipeline.train.cross_validation import Fold, XGBoostParams
from pipeline.train.locked import locked_requirements

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from xgboost import XGBRegressor


def fixed_params(params: TrainParams) -> XGBoostParams:
    """Return what every fit of a pipeline shares, by the names of XGBoost's native interface."""
    return {
        "objective": "reg:squarederror",
        "eval_metric": "rmse",
        "tree_method": "hist",
        "device": "cpu",
        "seed": params.seed,
        "nthread": params.n_jobs,
    }


def effective_params(native: XGBoostParams, fold: Fold) -> XGBoostParams:
    """Return every parameter XGBoost will use, defaults too, by the estimator's names.

    Stating them makes autologging record values where it would otherwise record the text 'None'.

    Parameters
    ----------
    native : dict
        Parameters of the native interface.
    fold : Fold
        Any; XGBoost works its configuration out from data.
    """
    from xgboost import Booster, XGBRegressor

    config = _flatten(json.loads(Booster(native, [fold.train]).save_config()))
    # base_score is estimated from the training target, the others have other names in the native interface.
    names = set(XGBRegressor().get_params()) & set(config) - {"base_score", "n_jobs", "random_state"}
    effective = {name: _number_or_text(config[name]) for name in sorted(names) if config[name] not in ("", "()")}
    return effective | {name: value for name, value in native.items() if name not in ("seed", "nthread")}


def fit(
    X: "pd.DataFrame", y: "NDArray[np.float64]", effective: XGBoostParams, n_estimators: int, params: TrainParams
) -> "XGBRegressor":
    """Fit on all training rows, autologged into the active MLflow run.

    Parameters
    ----------
    X : DataFrame of float64, shape (n_rows, n_features)
    y : array of float64, shape (n_rows,)
    effective : dict
        From `effective_params`.
    n_estimators : int
        Boosting rounds.
    params : TrainParams
    """
    from xgboost import XGBRegressor

    model = XGBRegressor(
        **effective,
        n_estimators=n_estimators,
        base_score=float(y.mean()),
        random_state=params.seed,
        n_jobs=params.n_jobs,
    )
    with _autologging(), locked_requirements():
        model.fit(X, y)
    return model


@contextmanager
def _autologging() -> Iterator[None]:
    """Autolog the fits within the block and none outside: those of a search would log a model each."""
    import mlflow

    mlflow.xgboost.autolog(
        log_models=True,
        log_input_examples=True,
        log_model_signatures=True,
        log_datasets=False,  # the prepared tables are logged, with their hashes
        importance_types=[],  # drawn in report.py
        silent=True,
    )
    try:
        yield
    finally:
        mlflow.xgboost.autolog(disable=True, silent=True)


def _flatten(config: dict[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= _flatten(value)
        elif isinstance(value, str):
            flat[name] = value
    return flat


def _number_or_text(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
