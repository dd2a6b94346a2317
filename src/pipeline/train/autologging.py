"""MLflow autologging for the final fit of an experiment only."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
def autologging(model: Any, flavor: str, options: Mapping[str, object]) -> Iterator[None]:
    """Autolog the fit of a model within the block. The fits of a search stay outside, as each would log a model.

    Parameters
    ----------
    model : estimator
    flavor : str
        The MLflow flavor, whose ``mlflow.<flavor>.autolog`` is called.
    options : mapping
        Options of that function in addition to `SETTINGS`.
    """
    module = importlib.import_module(f"mlflow.{flavor}")
    if flavor == "sklearn":
        # MLflow would import all of scikit-learn and patch each of its estimators, also the trees in a forest.
        # MLflow 3.17.2 has no setting for it.
        vars(module)["_gen_estimators_to_patch"] = lambda: [type(model)]
    module.autolog(**SETTINGS, **options)
    try:
        with locked_requirements(), reproducible_pickles():
            yield
    finally:
        module.autolog(disable=True, silent=True)


@contextmanager
def reproducible_pickles() -> Iterator[None]:
    """Pickle equal scikit-learn estimators to equal bytes, whatever the process has unpickled before.

    Instances of a class share the strings that name their attributes, and after unpickling these may be other strings
    than the equal constants in scikit-learn's code. A pickle refers to the same string again, but repeats an equal one.
    """
    from sklearn.base import BaseEstimator

    getstate = BaseEstimator.__getstate__

    def interned(estimator: Any) -> dict[str, Any]:
        return {sys.intern(name): value for name, value in getstate(estimator).items()}

    BaseEstimator.__getstate__ = interned
    try:
        yield
    finally:
        BaseEstimator.__getstate__ = getstate
