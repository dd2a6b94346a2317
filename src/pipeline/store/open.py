"""The MLflow store: where it is, opening it, and the experiment of a pipeline."""

import os
import re
from typing import TYPE_CHECKING

from pipeline.errors import StoreError
from pipeline.store.create import check_schema, ensure_database, sweep
from pipeline.store.database import SQLITE, LocalStore, local_store, path_of
from pipeline.store.locations import check_not_moved, check_there
from pipeline.store.mlflow_library import close_connections, import_mlflow
from pipeline.store.server import check_answers, is_server
from pipeline.support.paths import PROJECT, checkout_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_opened: dict[str, tuple[int, int]] = {}  # by URI: which file a database was when it was opened
PASSWORDS = (  # of a URI: what is before, the password, what is behind
    re.compile(r"//[^:/@\s]*(:)([^@\s]+)(@)"),
    re.compile(r"([?&]\w*(?:password|secret|token)=)([^&#\s]+)()", re.IGNORECASE),
)


def store_uri() -> str:
    """Return the tracking URI: MLFLOW_TRACKING_URI, or the database in this repository's ``mlruns/``."""
    repository = checkout_of(PROJECT)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{repository / 'mlruns' / 'mlflow.db'}"
    store = local_store(uri)
    return uri if store is None else f"{SQLITE}{store.database}"  # whatever the current folder will be


def with_store(command: str) -> str:
    """Return an mlflow command that uses the store of `store_uri`, for messages."""
    uri = store_uri()
    return f"MLFLOW_TRACKING_URI={without_password(uri)} {command}"


def open_store() -> "MlflowClient":
    """Open the MLflow store of `store_uri`, creating it on first use.

    Returns
    -------
    MlflowClient
        A client of the store, which is also what ``mlflow.start_run`` and the like use from here on.

    Raises
    ------
    StoreError
        When the store cannot be reached, read or written, was moved, or is another MLflow's.
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
            sweep(store)
        elif is_server(uri):
            check_answers(uri, without_password(uri))
        client = mlflow.MlflowClient()
        client.search_experiments(max_results=1)
        if store:
            _opened[uri] = _file(store)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        detail = without_password(str(error).strip().split("\n")[0])
        remedy = (
            "check MLFLOW_TRACKING_URI, and MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD if one signs in there"
        )
        if store:
            remedy = f"make {store.home} writable, free disk space, or move a broken {store.database.name} away"
        raise StoreError(f"the MLflow store {without_password(uri)} cannot be used: {detail}", remedy) from None
    return client


def still_open(client: "MlflowClient") -> "MlflowClient":
    """Return a client of the store as it is now, for those who keep one for long.

    Raises
    ------
    StoreError
        When the server does not answer, for which MLflow would wait for minutes; when the database is gone, or the one
        in its place cannot be used.
    """
    uri = store_uri()
    store = local_store(uri)
    if is_server(uri):
        check_answers(uri, without_password(uri))
    elif store:
        if not store.database.exists():
            raise StoreError(
                f"the MLflow store {uri} cannot be used: its database is gone",
                "bring it back: python src/store.py restore FILE",
            )
        if _opened.get(uri) != _file(store):
            close_connections(uri)
            return open_store()
    return client


def _file(store: LocalStore) -> tuple[int, int]:
    """Return which file the database is, whatever it is called."""
    status = store.database.stat()
    return status.st_dev, status.st_ino


def open_experiment(client: "MlflowClient", name: str) -> str:
    """Return the id of the experiment `name`, creating it on first use.

    Raises
    ------
    StoreError
        When the experiment was deleted, or the folder of its files is gone.
    """
    from mlflow.exceptions import MlflowException

    store = local_store(store_uri())
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None if store is None else (store.home / name).as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another process was first
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage != "active":
        raise StoreError(
            f"the MLflow experiment {name!r} has been deleted",
            f"restore it: {with_store('mlflow experiments restore')} --experiment-id {experiment.experiment_id}; "
            "or name another: train.experiment_name in params.yaml, of the service MLFLOW_EXPERIMENT_NAME",
        )
    place = path_of(experiment.artifact_location)
    if store and place:
        check_there(place, store)
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
    """Raise a `StoreError` when the folder with the files of `run` and its experiment is gone."""
    store, place = local_store(store_uri()), path_of(run.info.artifact_uri)
    if store and place:
        check_there(place.parents[1], store)


def without_password(text: str) -> str:
    """Return `text` without the passwords of `store_uri`, for messages."""
    for pattern in PASSWORDS:
        for before, secret, after in pattern.findall(store_uri()):
            text = text.replace(f"{before}{secret}{after}", f"{before}***{after}")
    return text
