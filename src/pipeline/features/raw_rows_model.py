"""MLflow's python_function flavour of a logged model: takes raw rows, computes the features, predicts.

It travels inside the logged model with the modules it needs, so that `mlflow models serve` answers rows as they
stand in the source table: with text and missing values, and without derived columns.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.model_files import load_estimator
from pipeline.features.transformer import FEATURES_FILE, FeatureTransformer

PROBABILITY = "probability_"  # and the label: the name of a column


class RawRowsModel:
    """A fitted model behind the feature transformer it was trained with.

    Attributes
    ----------
    labels : list of str, int or bool, optional
        Of a classification, in the order of the probabilities; None of a regression.
    """

    def __init__(self, folder: Path) -> None:
        """Load from a logged model's folder.

        Raises
        ------
        PipelineError
            When the model file is not the one that was logged; nothing of it is read then.
        """
        stored = json.loads((folder / FEATURES_FILE).read_text(encoding="utf-8"))
        self.transformer = FeatureTransformer.load(folder)
        self.feature_names: list[str] = stored["feature_names"]
        self.labels: list[str | int | bool] | None = stored["labels"]
        file = folder / stored["model_file"]
        _check(file, stored["model_sha256"])
        self.model = load_estimator(file, classifies=self.labels is not None)

    def predict(
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> NDArray[np.float64] | pd.DataFrame:
        """Predict the target of raw rows.

        Parameters
        ----------
        model_input : DataFrame, shape (n_rows, n_columns)
            The raw input columns; numbers and categories may be missing, a category may be unseen.
        params : dict, optional
            Accepted because MLflow passes it; not used.

        Returns
        -------
        array of float64, shape (n_rows,), or DataFrame, shape (n_rows, 1 + n_labels)
            In a regression the target, in its unit; in a classification the column ``prediction``, the most probable
            label, and a column ``probability_<label>`` for each.
        """
        answers = self.answer(self.transformer.transform(model_input, only=self.feature_names).to_numpy())
        if self.labels is None:
            return answers
        predicted = [self.labels[place] for place in answers.argmax(axis=1)]
        columns = {f"{PROBABILITY}{label}": answers[:, place] for place, label in enumerate(self.labels)}
        return pd.DataFrame({"prediction": predicted, **columns}, index=model_input.index)

    def answer(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Predict from features.

        Parameters
        ----------
        features : array of float32, shape (n_rows, n_features)
            Those of `feature_names`.

        Returns
        -------
        array of float64, shape (n_rows,) or (n_rows, n_labels)
            In a regression the target, in a classification the probability of each label.
        """
        X: Any = features
        if not hasattr(self.model, "get_booster"):  # XGBoost takes longer to read a DataFrame than to answer a row
            X = pd.DataFrame(features, columns=self.feature_names, copy=False)
        found = self.model.predict(X) if self.labels is None else self.model.predict_proba(X)
        return np.asarray(found, dtype=np.float64)


def _check(path: Path, expected_sha256: str) -> None:
    """Refuse a model file that does not have its SHA-256."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected_sha256:
        raise PipelineError(
            f"{path} is not the file that was logged (SHA-256 differs from that in {FEATURES_FILE})",
            "fetch the model from the store again, or train anew",
        )


def _load_pyfunc(path: str) -> RawRowsModel:
    """Load the model; MLflow calls this by name."""
    return RawRowsModel(Path(path))
