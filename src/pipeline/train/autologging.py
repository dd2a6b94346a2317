"""MLflow's autologging, around the final fit of an experiment and nowhere else."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.train.locked import locked_requirements

SETTINGS = {
    "log_models": True,
    "log_input_examples": True,
    "log_model_signatures": True,
    "log_datasets": False,  # the prepared tables are logged, with their hashes
    "silent": True,
}


@contextmanager
def autologging(flavour: str) -> Iterator[None]:
    """Autolog the fits within the block and none outside: those of a search would log a model each.

    Parameters
    ----------
    flavour : str
        ``xgboost`` for ``mlflow.xgboost.autolog``, or ``sklearn``.
    """
    # Importances are drawn in report.py; metrics are those of rows the fit has not seen.
    own: dict[str, object] = {"importance_types": []} if flavour == "xgboost" else {"log_post_training_metrics": False}
    module = importlib.import_module(f"mlflow.{flavour}")
    module.autolog(**SETTINGS, **own)
    try:
        with locked_requirements():
            yield
    finally:
        module.autolog(disable=True, silent=True)
