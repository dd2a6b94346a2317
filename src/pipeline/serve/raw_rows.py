"""MLflow's python_function flavour of a logged model: takes raw rows, computes the features, predicts.

It travels inside the logged model with the modules it needs, so that `mlflow models serve` answers rows as they
stand in the source table: with text and missing values, and without derived columns.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features import FEATURES_FILE, FeatureTransformer


class RawRowsModel:
    """A fitted XGBoost regressor behind the feature transformer it was trained with."""

    def __init__(self, folder: Path) -> None:
        """Load from a logged model's folder."""
        from xgboost import XGBRegressor

        stored = json.loads((folder / FEATURES_FILE).read_text(encoding="utf-8"))
        self.transformer = FeatureTransformer.load(folder)
        self.regressor = XGBRegressor()
        self.regressor.load_model(folder / stored["model_file"])
        self.feature_names: list[str] = stored["feature_names"]

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> NDArray[np.float64]:
        """Predict the target of raw rows.

        Parameters
        ----------
        model_input : DataFrame, shape (n_rows, n_columns)
            The raw input columns; numbers and categories may be missing, a category may be unseen.
        params : dict, optional
            Accepted because MLflow passes it; not used.

        Returns
        -------
        array of float64, shape (n_rows,)
            In the target's unit.
        """
        features = self.transformer.transform(model_input, only=self.feature_names)
        return np.asarray(self.regressor.predict(features), dtype=np.float64)


def _load_pyfunc(path: str) -> RawRowsModel:
    """Load the model; MLflow calls this by name."""
    return RawRowsModel(Path(path))
