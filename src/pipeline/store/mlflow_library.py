"""MLflow as a library: imported quietly and once, a client of a store, and its connections to databases."""

import logging
import os
import threading
from typing import TYPE_CHECKING

from pipeline.errors import StoreError

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUIET_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for each run, with the password where the URI has one
    # Of a server that serves artifacts: clients would otherwise ask its S3 themselves, which they need not reach.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}
# MLflow's own loggers whose INFO lines or deprecation notes concern this code and not its user.
QUIET_LOGGERS = {
    "mlflow.store.db.utils": logging.CRITICAL,  # its errors are raised as well
    "mlflow.models.model": logging.ERROR,
    "mlflow.tracking._model_registry.client": logging.WARNING,
    "mlflow.store.model_registry.abstract_store": logging.WARNING,
    "mlflow.utils.uv_utils": logging.WARNING,
    "mlflow.utils.environment": logging.WARNING,
    "mlflow.sklearn": logging.ERROR,  # that a pickled model is code: it is loaded from the project's own store
    "alembic": logging.WARNING,
}
# Two threads that import MLflow for the first time at once find it half imported, and it stays broken.
_importing = threading.Lock()


def client_of(uri: str) -> "MlflowClient":
    """Return a client of a store that is there, as it is: nothing is checked, and no other becomes MLflow's default."""
    import_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


def import_mlflow() -> None:
    """Import MLflow, and keep it from printing what does not concern a user."""
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with _importing:
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 (which MLflow imports later, by itself)
        from mlflow.utils import requirements_utils
    # Whenever it logs or loads a model, MLflow compares each of its locked packages with the installed one: a second
    # for no more than a warning. Here predictions are compared. Read in MLflow 3.17.2, which has no setting for it.
    vars(requirements_utils)["_check_requirement_satisfied"] = lambda _: None
    for name, level in QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)


def close_connections(uri: str) -> None:
    """Close MLflow's connections to a database: they would go on with one that was moved or deleted.

    Where they are kept was read in MLflow 3.17.2, which offers no other way to close them.

    Raises
    ------
    StoreError
        When this MLflow keeps them elsewhere.
    """
    from mlflow.store.model_registry import sqlalchemy_store as registry
    from mlflow.store.tracking import sqlalchemy_store as tracking

    for module in (registry, tracking):
        engines = getattr(module.SqlAlchemyStore, "_engine_map", None)
        if engines is None:
            raise StoreError(
                f"the database of the MLflow store {uri} was replaced, and MLflow goes on with the former one",
                "start this program again",
            )
        if engine := engines.get(uri):
            engine.dispose()
