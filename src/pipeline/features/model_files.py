"""Formats of the file that holds a logged model's estimator: written and read without MLflow."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError


@dataclass(frozen=True)
class ModelFile:
    """A file format of fitted estimators.

    Attributes
    ----------
    name : str
        Of the file in a logged model; its suffix tells the format.
    save : callable
        Called with the fitted estimator and the path to write to.
    load : callable
        Called with the path and whether the estimator is a classifier; returns the estimator.
    """

    name: str
    save: Callable[[Any, Path], None]
    load: Callable[[Path, bool], Any]


def load_estimator(path: Path, classifies: bool) -> Any:
    """Read a fitted estimator, in the format that the file's suffix names.

    Raises
    ------
    PipelineError
        When no format has that suffix.
    """
    for known in (XGBOOST, PICKLE):
        if path.suffix == Path(known.name).suffix:
            return known.load(path, classifies)
    raise PipelineError(f"{path} is in no format this reads", "serve the model with the code it was trained with")


def _save_xgboost(model: Any, path: Path) -> None:
    model.save_model(path)


def _load_xgboost(path: Path, classifies: bool) -> Any:
    from xgboost import XGBClassifier, XGBRegressor

    model = XGBClassifier() if classifies else XGBRegressor()
    model.load_model(path)
    return model


def _save_pickle(model: Any, path: Path) -> None:
    import joblib

    joblib.dump(model, path)


def _load_pickle(path: Path, classifies: bool) -> Any:
    import joblib

    return joblib.load(path)


XGBOOST = ModelFile("model.ubj", _save_xgboost, _load_xgboost)  # XGBoost's own, whose bytes name the same model
PICKLE = ModelFile("model.pkl", _save_pickle, _load_pickle)  # any scikit-learn estimator
