"""The MLflow store: where it is, opening it, and the experiment of a pipeline."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pipeline.errors import StoreError
from pipeline.paths import checkout_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SQLITE = "sqlite:///"
QUIET_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
# MLflow's own loggers whose INFO lines or deprecation notes concern this code and not its user.
QUIET_LOGGERS = {
    "mlflow.store.db.utils": logging.WARNING,
    "mlflow.models.model": logging.ERROR,
    "mlflow.tracking._model_registry.client": logging.WARNING,
    "mlflow.store.model_registry.abstract_store": logging.WARNING,
    "mlflow.utils.uv_utils": logging.WARNING,
    "mlflow.utils.environment": logging.WARNING,
    "mlflow.sklearn": logging.ERROR,  # that a pickled model is code: it is loaded from the project's own store
    "alembic": logging.WARNING,
}


def store_uri() -> str:
    """Return the tracking URI: MLFLOW_TRACKING_URI, or the database in this repository's ``mlruns/``."""
    repository = checkout_of(Path(__file__).parents[2])
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{repository / 'mlruns' / 'mlflow.db'}"
    database = _database_of(uri)
    return uri if database is None else f"{SQLITE}{database}"  # whatever the current folder will be


def with_store(command: str) -> str:
    """Return an mlflow command that uses the store of `store_uri`, for messages."""
    uri = store_uri()
    return f"MLFLOW_TRACKING_URI={_without_password(uri, uri)} {command}"


def open_store() -> "MlflowClient":
    """Open the MLflow store of `store_uri`, creating it on first use.

    Returns
    -------
    MlflowClient
        A client of the store, which is also what ``mlflow.start_run`` and the like use from here on.

    Raises
    ------
    StoreError
        When the store cannot be reached, read or written.
    """
    for name, value in QUIET_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    for name, level in QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)
    uri = store_uri()
    database = _database_of(uri)
    mlflow.set_tracking_uri(uri)
    try:
        with _lock(database):
            client = mlflow.MlflowClient()
            client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        detail = _without_password(str(error).strip().split("\n")[0], uri)
        remedy = "check MLFLOW_TRACKING_URI and that the server runs"
        if database is not None:
            remedy = f"make {database.parent} writable, free disk space, or move a broken {database.name} away"
        raise StoreError(f"the MLflow store {_without_password(uri, uri)} cannot be used: {detail}", remedy) from None
    return client


def open_experiment(client: "MlflowClient", name: str) -> str:
    """Return the id of the experiment `name`, creating it on first use.

    Raises
    ------
    StoreError
        When the experiment was deleted, or the store's folder has been moved.
    """
    from mlflow.exceptions import MlflowException

    database = _database_of(store_uri())
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None if database is None else (database.parent / name).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another process was first
            experiment = client.get_experiment_by_name(name)
            assert experiment is not None
    if experiment.lifecycle_stage != "active":
        raise StoreError(
            f"the MLflow experiment {name!r} has been deleted",
            f"restore it: {with_store('mlflow experiments restore')} --experiment-id {experiment.experiment_id}; "
            "or change train.experiment_name in params.yaml",
        )
    _check_not_moved(experiment.artifact_location, database)
    return str(experiment.experiment_id)


def logged_model_of(run: "Run") -> str:
    """Return the id of the model that autologging logged in `run`.

    Raises
    ------
    StoreError
        When the run logged no model.
    """
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        raise StoreError(f"MLflow run {run.info.run_id} has no logged model", "train anew: dvc repro -f -s model_train")
    return str(outputs[0].model_id)


def check_run_not_moved(run: "Run") -> None:
    """Raise a `StoreError` when the store was moved since `run` wrote its files."""
    _check_not_moved(run.info.artifact_uri, _database_of(store_uri()))


def _check_not_moved(location: str, database: Path | None) -> None:
    """Raise a `StoreError` when artifacts recorded at `location` are not beside the database that says so.

    MLflow records artifact locations as absolute paths: after a move it lists nothing and writes to the old place.
    """
    if database is None or urlsplit(location).scheme not in ("", "file"):
        return
    folder = Path(unquote(urlsplit(location).path))
    if not folder.is_relative_to(database.parent):
        raise StoreError(
            f"the MLflow store in {database.parent} was moved: it records its files in {folder}",
            f"move the repository back, or start a new store: mv {database.parent} {database.parent}.old "
            "&& dvc repro -f",
        )


def _database_of(uri: str) -> Path | None:
    return Path(uri.removeprefix(SQLITE)).absolute() if uri.startswith(SQLITE) else None


@contextmanager
def _lock(database: Path | None) -> Iterator[None]:
    """Let one process at a time create or migrate a database: two at once would leave it broken for good."""
    from filelock import FileLock

    if database is None:
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(database.with_suffix(".lock")):
        yield


def _without_password(text: str, uri: str) -> str:
    password = urlsplit(uri).password
    return text.replace(f":{password}@", ":***@") if password else text
