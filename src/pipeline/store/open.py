"""Locate and open the MLflow store, and get the experiment of a pipeline."""

import os
import re
from typing import TYPE_CHECKING

from pipeline.errors import StoreError
from pipeline.store.create import check_schema, ensure_database, remove_leftovers
from pipeline.store.database import SQLITE, LocalStore, local_path, local_store
from pipeline.store.locations import check_exists, check_not_moved
from pipeline.store.mlflow_library import close_connections, import_mlflow
from pipeline.store.server import check_reachable, is_server
from pipeline.support.paths import PROJECT, main_checkout_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_opened: dict[str, tuple[int, int]] = {}  # device and inode of each opened database, by URI
PASSWORD_PATTERNS = (  # groups: prefix, password, suffix
    re.compile(r"//[^:/@\s]*(:)([^@\s]+)(@)"),
    re.compile(r"([?&]\w*(?:password|secret|token)=)([^&#\s]+)()", re.IGNORECASE),
)


def default_uri() -> str:
    """Return the tracking URI of the database in this repository's ``mlruns/``."""
    return f"{SQLITE}{main_checkout_path(PROJECT) / 'mlruns' / 'mlflow.db'}"


def store_uri() -> str:
    """Return the tracking URI: MLFLOW_TRACKING_URI if set, otherwise the `default_uri`.

    The path of a local store is made absolute.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or default_uri()
    store = local_store(uri)
    return uri if store is None else f"{SQLITE}{store.database}"


def mlflow_command(command: str) -> str:
    """Return an mlflow command to show in a message, with MLFLOW_TRACKING_URI; a password in it is shown as ***."""
    uri = store_uri()
    return f"MLFLOW_TRACKING_URI={mask_passwords(uri)} {command}"


def open_store() -> "MlflowClient":
    """Open the MLflow store of `store_uri`, creating it on first use.

    The store also becomes the default of ``mlflow.start_run`` and the rest of MLflow's fluent API.

    Returns
    -------
    MlflowClient

    Raises
    ------
    StoreError
        If the store cannot be reached, read or written, was moved, or has another MLflow version's schema.
    """
    import_mlflow()
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    uri = store_uri()
    store = local_store(uri)
    mlflow.set_tracking_uri(uri)
    try:
        if store:
            ensure_database(store)
            check_schema(store)
            check_not_moved(store)
            remove_leftovers(store)
        elif is_server(uri):
            check_reachable(uri, mask_passwords(uri))
        client = mlflow.MlflowClient()
        client.search_experiments(max_results=1)
        if store:
            _opened[uri] = _file_id(store)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        detail = mask_passwords(str(error).strip().split("\n")[0])
        remedy = (
            "check MLFLOW_TRACKING_URI and, if the server needs a login, MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD"
        )
        if store:
            remedy = f"make {store.home} writable, free disk space, or move a broken {store.database.name} away"
        raise StoreError(f"the MLflow store {mask_passwords(uri)} cannot be used: {detail}", remedy) from None
    return client


def refresh_client(client: "MlflowClient") -> "MlflowClient":
    """Return `client`, or a new one if the store's database was replaced; for long-running programs.

    Raises
    ------
    StoreError
        If the server does not respond (MLflow itself would wait for minutes), if the database no longer exists, or if
        the database that replaced it cannot be used.
    """
    uri = store_uri()
    store = local_store(uri)
    if is_server(uri):
        check_reachable(uri, mask_passwords(uri))
    elif store:
        if not store.database.exists():
            raise StoreError(
                f"the MLflow store {uri} cannot be used: its database no longer exists",
                "restore a backup: python src/store.py restore FILE",
            )
        if _opened.get(uri) != _file_id(store):
            close_connections(uri)
            return open_store()
    return client


def _file_id(store: LocalStore) -> tuple[int, int]:
    """Return the device and inode of the database, which identify the file regardless of its name."""
    status = store.database.stat()
    return status.st_dev, status.st_ino


def open_experiment(client: "MlflowClient", name: str) -> str:
    """Return the ID of the experiment `name`, creating it on first use.

    Raises
    ------
    StoreError
        If the experiment was deleted, or the folder of its files no longer exists.
    """
    from mlflow.exceptions import MlflowException

    store = local_store(store_uri())
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None if store is None else (store.home / name).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another process may have created it
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise StoreError(
            f"the MLflow experiment {name!r} has been deleted",
            f"restore it: {mlflow_command('mlflow experiments restore')} --experiment-id {experiment.experiment_id}; "
            "or choose another name: train.experiment_name in params.yaml or, for the service, MLFLOW_EXPERIMENT_NAME",
        )
    path = local_path(experiment.artifact_location)
    if store and path:
        check_exists(path, store)
    return str(experiment.experiment_id)


def logged_model_id(run: "Run") -> str:
    """Return the ID of the model that autologging logged in `run`.

    Raises
    ------
    StoreError
        If the run has no logged model.
    """
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        raise StoreError(
            f"MLflow run {run.info.run_id} has no logged model", "train again: dvc repro -f -s model_train"
        )
    return str(outputs[0].model_id)


def check_run_not_moved(run: "Run") -> None:
    """Raise a `StoreError` if the folder with the files of the run's experiment no longer exists."""
    store, path = local_store(store_uri()), local_path(run.info.artifact_uri)
    if store and path:
        check_exists(path.parents[1], store)


def mask_passwords(text: str) -> str:
    """Return `text` with the passwords of `store_uri` masked, for messages."""
    for pattern in PASSWORD_PATTERNS:
        for prefix, secret, suffix in pattern.findall(store_uri()):
            text = text.replace(f"{prefix}{secret}{suffix}", f"{prefix}***{suffix}")
    return text
