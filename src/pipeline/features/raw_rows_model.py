"""The python_function flavor of a logged model: it computes the features of raw rows, then predicts.

MLflow loads it from the code copied into the logged model, so that `mlflow models serve` accepts raw rows, exactly as
they appear in the table: with text and missing values, and without derived columns.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.decision import predicted_classes
from pipeline.features.model_files import load_estimator
from pipeline.features.transformer import FEATURES_FILE, FeatureTransformer

PROBABILITY_PREFIX = "probability_"  # prefix of an output column; the class label follows


class RawRowsModel:
    """A fitted model together with its feature transformer.

    Attributes
    ----------
    labels : list of str, int or bool, optional
        Class labels in the order of the probabilities; None for a regression.
    threshold : float, optional
        Binary classification: the second class is predicted if its probability is at least this. None: the most
        probable class is predicted.
    """

    def __init__(self, folder: Path) -> None:
        """Load the model from the folder of a logged model.

        Raises
        ------
        PipelineError
            If the model file is not the one that was logged; it is not unpickled then.
        """
        stored = json.loads((folder / FEATURES_FILE).read_text(encoding="utf-8"))
        self.transformer = FeatureTransformer.load(folder)
        self.feature_names: list[str] = stored["feature_names"]
        self.labels: list[str | int | bool] | None = stored["labels"]
        self.threshold: float | None = stored.get("threshold")
        file = folder / stored["model_file"]
        _verify_sha256(file, stored["model_sha256"])
        self.model = load_estimator(file, is_classifier=self.labels is not None)

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> NDArray[np.float64] | pd.DataFrame:
        """Predict the target of raw rows.

        Parameters
        ----------
        model_input : DataFrame, shape (n_rows, n_columns)
            The raw input columns. Values may be missing, and categories may be unseen.
        params : dict, optional
            Unused; part of MLflow's interface.

        Returns
        -------
        array of float64, shape (n_rows,), or DataFrame, shape (n_rows, 1 + n_classes)
            For a regression, the target in its unit. For a classification, the column ``prediction`` with the
            predicted class, and a column ``probability_<label>`` for each class.
        """
        outputs = self.predict_features(self.transformer.transform(model_input, only=self.feature_names).to_numpy())
        if self.labels is None:
            return outputs
        columns = {f"{PROBABILITY_PREFIX}{label}": outputs[:, index] for index, label in enumerate(self.labels)}
        return pd.DataFrame({"prediction": self.labels_of(outputs), **columns}, index=model_input.index)

    def labels_of(self, outputs: NDArray[np.float64]) -> list[str | int | bool]:
        """Return the predicted labels for probabilities of the classes, shape (n_rows, n_classes)."""
        assert self.labels is not None
        return [self.labels[index] for index in predicted_classes(outputs, self.threshold)]

    def predict_features(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Predict from features.

        Parameters
        ----------
        features : array of float32, shape (n_rows, n_features)
            In the order of `feature_names`.

        Returns
        -------
        array of float64, shape (n_rows,) or (n_rows, n_classes)
            The target of a regression, or the probability of each class.
        """
        X: Any = features
        if not hasattr(self.model, "get_booster"):  # XGBoost takes longer to read a DataFrame than to predict a row
            X = pd.DataFrame(features, columns=self.feature_names, copy=False)
        outputs = self.model.predict(X) if self.labels is None else self.model.predict_proba(X)
        return np.asarray(outputs, dtype=np.float64)


def _verify_sha256(path: Path, expected_sha256: str) -> None:
    """Raise `PipelineError` if a model file does not have the recorded SHA-256."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != expected_sha256:
        raise PipelineError(
            f"{path} is not the file that was logged (SHA-256 differs from that in {FEATURES_FILE})",
            "download the model from the store again, or retrain it",
        )


def _load_pyfunc(path: str) -> RawRowsModel:
    """Load the model; MLflow looks up this function by name."""
    return RawRowsModel(Path(path))
