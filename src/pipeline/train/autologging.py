"""MLflow autologging for the final fit of an experiment only."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from pipeline.train.locked import locked_requirements

SETTINGS = {
    "log_models": True,
    "log_input_examples": True,
    "log_model_signatures": True,
    "log_datasets": False,  # the prepared tables are logged instead, with their hashes
    "silent": True,
}


@contextmanager
def autologging(model: Any, flavor: str, options: Mapping[str, object], extra: str | None = None) -> Iterator[None]:
    """Autolog the fit of a model within the block. The fits of a search stay outside, as each would log a model.

    Parameters
    ----------
    model : estimator
    flavor : str
        The MLflow flavor, whose ``mlflow.<flavor>.autolog`` is called.
    options : mapping
        Options of that function in addition to `SETTINGS`.
    extra : str, optional
        The extra of pyproject.toml with the additional packages that the model needs.
    """
    module = importlib.import_module(f"mlflow.{flavor}")
    with _patch_only(type(model)) if flavor == "sklearn" else nullcontext():
        module.autolog(**SETTINGS, **options)
        try:
            with locked_requirements(), _required_extra(extra), reproducible_pickles():
                yield
        finally:
            module.autolog(disable=True, silent=True)


def _patch_only(estimator_class: type) -> AbstractContextManager[None]:
    """Return a context in which MLflow's autologging patches one class of scikit-learn.

    MLflow 3.17.2 has no setting for it: it imports all of scikit-learn and patches each estimator, also the trees in a
    forest.
    """
    import mlflow.sklearn

    return replaced(mlflow.sklearn, "_gen_estimators_to_patch", lambda: [estimator_class])


def _required_extra(extra: str | None) -> AbstractContextManager[None]:
    """Return a context in which the requirements that MLflow reads from uv.lock include an extra.

    MLflow 3.17.2 has no setting for it in autologging.
    """
    from mlflow.utils import environment, uv_utils

    def export(folder: str, **_: object) -> list[str] | None:
        return uv_utils.export_uv_requirements(folder, extras=[extra] if extra else None)

    return replaced(environment, "export_uv_requirements", export)


def reproducible_pickles() -> AbstractContextManager[None]:
    """Return a context in which equal scikit-learn estimators have equal pickles, whatever was unpickled before.

    Instances of a class share the strings that name their attributes, and after unpickling these may be other strings
    than the equal constants in scikit-learn's code. A pickle refers to the same string again, but repeats an equal one.
    """
    from sklearn.base import BaseEstimator

    getstate = BaseEstimator.__getstate__

    def interned(estimator: Any) -> dict[str, Any]:
        return {sys.intern(str(name)): value for name, value in getstate(estimator).items()}

    return replaced(BaseEstimator, "__getstate__", interned)


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """Replace an attribute within the block."""
    former = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, former)
