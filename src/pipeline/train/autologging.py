"""MLflow autologging for the final fit of an experiment only."""

import importlib
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
        with locked_requirements():
            yield
    finally:
        module.autolog(disable=True, silent=True)
