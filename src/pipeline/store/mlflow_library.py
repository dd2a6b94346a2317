"""Import MLflow without its irrelevant output, get a client of a store, and close MLflow's database connections."""

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
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines per run, which would show a password in the URI
    # With a server that proxies artifacts, clients would otherwise access its S3 directly, which they may not reach.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}
# MLflow's loggers whose messages concern this code, not its user.
QUIET_LOGGERS = {
    "mlflow.store.db.utils": logging.CRITICAL,  # its errors are also raised
    "mlflow.models.model": logging.ERROR,
    "mlflow.tracking._model_registry.client": logging.WARNING,
    "mlflow.store.model_registry.abstract_store": logging.WARNING,
    "mlflow.utils.uv_utils": logging.WARNING,
    "mlflow.utils.environment": logging.WARNING,
    "mlflow.sklearn": logging.ERROR,  # warns that pickles execute code; these come from the project's own store
    "alembic": logging.WARNING,
}
# Two threads that first import MLflow at the same time leave it partially imported, and it stays broken.
_import_lock = threading.Lock()


def client_of(uri: str) -> "MlflowClient":
    """Return a client of an existing store, without checking the store or changing MLflow's default tracking URI."""
    import_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(uri, uri)


def import_mlflow() -> None:
    """Import MLflow and silence output that does not concern a user."""
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with _import_lock:
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 (MLflow would import it later, outside the lock)
        from mlflow.utils import requirements_utils
    # When it logs or loads a model, MLflow compares each of the model's requirements with the installed package, which
    # takes a second and at most warns. This project compares predictions instead. MLflow 3.17.2 has no setting for it.
    vars(requirements_utils)["_check_requirement_satisfied"] = lambda _: None
    for name, level in QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)


def close_connections(uri: str) -> None:
    """Close MLflow's connections to a database, which would otherwise keep using a file that was moved or deleted.

    MLflow 3.17.2 has no public API for this; its private attribute `_engine_map` holds the connections.

    Raises
    ------
    StoreError
        If the installed MLflow has no such attribute.
    """
    from mlflow.store.model_registry import sqlalchemy_store as registry
    from mlflow.store.tracking import sqlalchemy_store as tracking

    for module in (registry, tracking):
        engines = getattr(module.SqlAlchemyStore, "_engine_map", None)
        if engines is None:
            raise StoreError(
                f"the database of the MLflow store {uri} was replaced, but MLflow still uses the former one",
                "restart this program",
            )
        if engine := engines.get(uri):
            engine.dispose()
