"""MLflow's autologging, around the final fit of an experiment and nowhere else."""

import importlib
from collections.abc import Iterator, Mapping
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
def autologging(flavour: str, options: Mapping[str, object]) -> Iterator[None]:
    """Autolog the fits within the block and none outside: those of a search would log a model each.

    Parameters
    ----------
    flavour : str
        ``mlflow.<flavour>.autolog`` is what is called.
    options : mapping
        What it takes besides `SETTINGS`.
    """
    module = importlib.import_module(f"mlflow.{flavour}")
    module.autolog(**SETTINGS, **options)
    try:
        with locked_requirements():
            yield
    finally:
        module.autolog(disable=True, silent=True)
