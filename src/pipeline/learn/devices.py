"""Fit and use XGBoost estimators on a GPU, and leave them on the CPU, which every machine has."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def device_input(X: pd.DataFrame, device: str) -> dict[str, Any]:
    """Return a table as the arguments `data` and `feature_names` of an XGBoost matrix that bins it on the device.

    XGBoost bins data where it lies, and CuPy places an array on the GPU. Without CuPy, the CPU bins, and XGBoost copies
    the bins to the GPU.
    """
    if device == "cpu" or find_spec("cupy") is None:
        return {"data": X}
    import cupy

    return {"data": cupy.asarray(np.ascontiguousarray(X, np.float32)), "feature_names": [*map(str, X.columns)]}


def fit_estimator(estimator: Any, X: pd.DataFrame, y: NDArray[Any]) -> None:
    """Fit an estimator on its device and move it to the CPU after the last round, before autologging stores it."""
    from xgboost.callback import TrainingCallback

    class MoveToCPU(TrainingCallback):
        def after_training(self, model: Any) -> Any:
            model.set_param({"device": "cpu"})
            estimator.device = "cpu"
            return model

    estimator.callbacks = [MoveToCPU()]
    estimator.fit(X, y)
    estimator.callbacks = None


@contextmanager
def on_device(estimator: Any, device: str) -> Iterator[None]:
    """Let a fitted estimator predict and explain on a device within the block."""
    booster = estimator.get_booster()
    booster.set_param({"device": device})
    try:
        with warnings.catch_warnings():
            # XGBoost warns that it copies the rows to the GPU.
            warnings.filterwarnings("ignore", message="(?s).*mismatched devices")
            yield
    finally:
        booster.set_param({"device": "cpu"})
