"""File formats of the estimator in a logged model, read and written without MLflow."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError


@dataclass(frozen=True)
class ModelFile:
    """A file format for fitted estimators.

    Attributes
    ----------
    name : str
        File name in a logged model; its suffix identifies the format.
    save : callable
        ``save(estimator, path)`` writes a fitted estimator.
    load : callable
        ``load(path, is_classifier)`` returns the estimator.
    """

    name: str
    save: Callable[[Any, Path], None]
    load: Callable[[Path, bool], Any]


def load_estimator(path: Path, is_classifier: bool) -> Any:
    """Load a fitted estimator in the format given by the file's suffix.

    Raises
    ------
    PipelineError
        If no format has this suffix.
    """
    for model_format in (XGBOOST, PICKLE):
        if path.suffix == Path(model_format.name).suffix:
            return model_format.load(path, is_classifier)
    raise PipelineError(f"{path} has an unknown model format", "serve the model with the code it was trained with")


def _save_xgboost(model: Any, path: Path) -> None:
    model.save_model(path)


def _load_xgboost(path: Path, is_classifier: bool) -> Any:
    from xgboost import XGBClassifier, XGBRegressor

    model = XGBClassifier() if is_classifier else XGBRegressor()
    model.load_model(path)
    return model


def _save_pickle(model: Any, path: Path) -> None:
    import joblib

    joblib.dump(model, path)


def _load_pickle(path: Path, is_classifier: bool) -> Any:
    import joblib

    try:
        return joblib.load(path)
    except ModuleNotFoundError as error:
        raise PipelineError(
            f"{path.name} needs the package {error.name}, which is not installed",
            "install it in the version of requirements.txt beside that file",
        ) from None


XGBOOST = ModelFile("model.ubj", _save_xgboost, _load_xgboost)  # native format: equal models have equal bytes
PICKLE = ModelFile("model.pkl", _save_pickle, _load_pickle)  # any scikit-learn estimator
