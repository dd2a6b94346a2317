"""Run single XGBoost fits with parameters of its native interface."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.learn.candidate import Sampled
from pipeline.learn.cross_validation import is_past_best
from pipeline.learn.devices import device_input
from pipeline.learn.learner import FoldTables
from pipeline.learn.task import Task

if TYPE_CHECKING:
    from xgboost import Booster, QuantileDMatrix


LEAFWISE_DEPTH = 12  # maximum depth of trees whose leaves are limited; SHAP values take time quadratic in the depth


@dataclass(frozen=True)
class Fold:
    """A cross-validation fold whose training and validation rows are binned for XGBoost.

    Attributes
    ----------
    train, valid : QuantileDMatrix
    source : (FoldTables, dict), optional
        The arguments of `bin_fold`, with which another process bins the fold.
    """

    train: "QuantileDMatrix"
    valid: "QuantileDMatrix"
    source: tuple[FoldTables, Sampled] | None = None


def bin_fold(tables: FoldTables, native: Sampled) -> Fold:
    """Return a fold binned for XGBoost, on the device of the fits that use it.

    Parameters
    ----------
    tables : FoldTables
    native : dict
        Parameters that the fits share, including ``device`` and ``nthread``, and ``max_bin`` if it is not the default.
    """
    from xgboost import QuantileDMatrix

    X_train, y_train, X_valid, y_valid = tables
    device = native["device"]
    options = {"nthread": native["nthread"], "max_bin": native.get("max_bin")}
    train = QuantileDMatrix(**device_input(X_train, device), label=y_train, **options)
    # `ref` gives validation rows the training rows' bins.
    valid = QuantileDMatrix(**device_input(X_valid, device), label=y_valid, ref=train, **options)
    fold = Fold(train, valid)
    if device != "cpu":
        learning_curves(native, fold, [1])  # copies the fold to the GPU, which parallel fits must not do at once
    return fold


def objective_params(task: Task, device: str) -> Sampled:
    """Return the parameters that every fit of a task shares, including objective and evaluation metric."""
    common: Sampled = {"tree_method": "hist", "device": device}
    if not task.labels:
        return {"objective": "reg:squarederror", "eval_metric": "rmse", **common}
    if task.n_classes == 2:
        return {"objective": "binary:logistic", "eval_metric": "logloss", **common}
    return {"objective": "multi:softprob", "num_class": task.n_classes, "eval_metric": "mlogloss", **common}


def with_growth(native: Sampled) -> Sampled:
    """Return the parameters with leaf-wise growth if they limit the number of leaves.

    A tree then splits the leaf that gains most, to a depth of `LEAFWISE_DEPTH` unless ``max_depth`` is given. It is
    better than a tree of the same number of leaves that grows level by level.
    """
    if not native.get("max_leaves"):
        return native
    return {"grow_policy": "lossguide", "max_depth": LEAFWISE_DEPTH, **native}


def score_curve(params: Sampled, fold: Fold, max_rounds: int, patience: int | None = None) -> list[float]:
    """Fit `params` on a fold for `max_rounds`, or stop early after `patience` rounds without improvement.

    Returns
    -------
    list of float
        RMSE or log loss on the validation rows after each round, including the last rounds without improvement.
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
    return history["valid"][params["eval_metric"]]


def learning_curves(
    params: Sampled, fold: Fold, scored: Sequence[int], stop_early: bool = False
) -> tuple["Booster", list[float], list[float]]:
    """Fit `params` on a fold; return the booster and its training and validation scores at the `scored` rounds.

    With `stop_early`, the fit ends once half as many rounds as the best one took, and 50 more, bring no improvement.
    """
    from xgboost import Booster

    booster, completed = Booster(params, [fold.train, fold.valid]), 0
    train, valid = list[float](), list[float]()
    for rounds in scored:
        for number in range(completed, rounds):
            booster.update(fold.train, number)
        completed = rounds
        # "[9]\ttrain-rmse:0.5\tvalid-rmse:0.6"
        line = booster.eval_set([(fold.train, "train"), (fold.valid, "valid")])
        for curve, part in zip((train, valid), line.split("\t")[1:], strict=True):
            curve.append(float(part.rpartition(":")[2]))
        if stop_early and is_past_best(scored, valid):
            break
    return booster, train, valid


def validation_score(params: Sampled, fold: Fold, rounds: int) -> float:
    """Fit `params` on a fold for `rounds` and return the RMSE or log loss on the validation rows."""
    import xgboost as xgb

    booster = xgb.train(params, fold.train, rounds)
    return float(booster.eval(fold.valid).rpartition(":")[2])


def predict_outputs(booster: "Booster", rows: "QuantileDMatrix", task: Task, rounds: int) -> NDArray[np.float64]:
    """Return predictions, or probabilities of all classes, of the first `rounds` rounds."""
    outputs = np.asarray(booster.predict(rows, iteration_range=(0, rounds)), dtype=np.float64)
    return np.column_stack([1 - outputs, outputs]) if task.n_classes == 2 else outputs


def effective_params(native: Sampled, fold: Fold) -> Sampled:
    """Return every parameter that XGBoost will use, including defaults, by the names of the scikit-learn estimator.

    Parameters
    ----------
    native : dict
        Parameters of the native interface.
    fold : Fold
        Any fold; XGBoost needs data to complete its configuration.
    """
    from xgboost import Booster, XGBRegressor

    config = _flatten(json.loads(Booster(native, [fold.train]).save_config()))
    # base_score is estimated from the training target; the other two have different names in the native interface.
    names = set(XGBRegressor().get_params()) & set(config) - {"base_score", "n_jobs", "random_state"}
    effective = {name: _parse_value(config[name]) for name in sorted(names) if config[name] not in ("", "()")}
    return effective | {name: value for name, value in native.items() if name not in ("seed", "nthread")}


def _flatten(config: dict[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= _flatten(value)
        elif isinstance(value, str):
            flat[name] = value
    return flat


def _parse_value(value: str) -> int | float | str:
    for number_type in (int, float):
        try:
            return number_type(value)
        except ValueError:
            continue
    return value
