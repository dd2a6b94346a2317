"""Remove runs that nobody will ask for, with their files, for good."""

import re
import shutil
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.store.care.candidates import RunTree, kept_of
from pipeline.store.care.leftovers import leftovers_of_local, leftovers_of_server, models_of, places_of, table
from pipeline.store.care.sizes import in_words, size_of
from pipeline.store.database import LocalStore, path_of, reading, tables_of, writing
from pipeline.store.locks import CARE, REGISTRY, held
from pipeline.store.stale_runs import sweep_runs
from pipeline.support.progress import progress

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTHING = "nothing to remove is as old as --older-than says"
SECONDS = {"h": 3600, "d": 86_400, "w": 604_800}
CHUNK = 500  # ids in one statement


def seconds_of(age: str) -> int:
    """Return an age such as ``12h``, ``30d`` or ``4w`` in seconds.

    Raises
    ------
    PipelineError
        When it is none.
    """
    if not re.fullmatch("[0-9]{1,6}[hdw]", age):
        raise PipelineError(f"--older-than is {age!r}", "give hours, days or weeks: 12h, 30d, 4w")
    return int(age[:-1]) * SECONDS[age[-1]]


def prune(client: "MlflowClient", store: LocalStore | None, older_than: str, dry_run: bool) -> str:
    """Remove failed runs and unregistered candidates that ended before a given age, or say which would go.

    Of a server's store they are marked as deleted, which the server's own ``mlflow gc`` makes final. Never goes
    what a version of a registered model names, the winner that a pipeline folder wrote down, and what is running.

    Parameters
    ----------
    client : MlflowClient
    store : LocalStore or None
        None of a server's.
    older_than : str
        As `seconds_of` takes it.
    dry_run : bool
        Remove nothing.

    Returns
    -------
    str
        What was done, for people; of a dry run the table of what would go, which else is reported before it goes.
    """
    before_ms = int((time.time() - seconds_of(older_than)) * 1000)
    if store is None:
        return _prune_server(client, before_ms, dry_run)
    if dry_run:
        found = leftovers_of_local(client, store, before_ms)
        again = f"nothing was removed; to do it: python src/store.py prune --older-than {older_than} --no-dry-run"
        return f"{table(found)}\n{again}" if found else NOTHING
    with held(store.home, CARE, REGISTRY):
        sweep_runs(client)
        found, free = leftovers_of_local(client, store, before_ms), size_of(store.database)
        if not found:
            return NOTHING
        progress(table(found))
        for tree in found.trees:
            _remove_tree(store, tree)
        for folder in found.folders:
            shutil.rmtree(folder)
        for name in found.models:
            client.delete_registered_model(name)
        _vacuum(store)
        return f"removed; {in_words(max(0, found.size + free - size_of(store.database)))} are free"


def _prune_server(client: "MlflowClient", before_ms: int, dry_run: bool) -> str:
    if not dry_run:
        sweep_runs(client)
    found = leftovers_of_server(client, before_ms)
    if not found:
        return NOTHING
    if dry_run:
        return f"{table(found)}\nnothing was removed; to do it, add --no-dry-run"
    progress(table(found))
    for name in found.models:
        client.delete_registered_model(name)
    kept = kept_of(client)  # once more: a registration may have come between
    for tree in found.trees:
        if kept.run_ids.isdisjoint(tree.run_ids) and kept.model_ids.isdisjoint(tree.model_ids):
            for model_id in tree.model_ids:
                client.delete_logged_model(model_id)
            for run_id in tree.run_ids:
                client.delete_run(run_id)
    return "marked as deleted; on the server, `mlflow gc` removes for good all that is so marked, and frees the space"


def _remove_tree(store: LocalStore, tree: RunTree) -> None:
    """Remove the files of a tree and then its rows: what is killed in between is found again by its rows."""
    with reading(store.database) as connection:
        models, places = models_of(connection, tree), places_of(connection, tree)
    for name, location in places.items():
        _remove_files(name, location)
    with writing(store.database) as connection:
        delete_rows(connection, "logged_models", "model_id", models)
        delete_rows(connection, "runs", "run_uuid", tree.run_ids)


def _remove_files(name: str, location: str) -> None:
    """Remove the folder of a run or model; MLflow puts its files into `artifacts` below a folder of its name."""
    place = path_of(location)
    if place is None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        get_artifact_repository(location).delete_artifacts()  # type: ignore[no-untyped-call]
    elif place.parent.name == name and place.parent.is_dir():
        shutil.rmtree(place.parent)


def delete_rows(connection: sqlite3.Connection, table: str, key: str, ids: list[str]) -> None:
    """Delete rows and all that refers to them, by the foreign keys that the schema declares, and by the links."""
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        marks = ", ".join("?" * len(some))
        for child in tables_of(connection):
            for _, _, parent, column, _, _, on_delete, _ in connection.execute(f'pragma foreign_key_list("{child}")'):
                if parent == table and on_delete == "NO ACTION":
                    connection.execute(f'delete from "{child}" where "{column}" in ({marks})', some)  # noqa: S608
        for end in ("source_id", "destination_id"):
            connection.execute(f"delete from inputs where {end} in ({marks})", some)  # noqa: S608
        connection.execute(f'delete from "{table}" where "{key}" in ({marks})', some)  # noqa: S608


def _vacuum(store: LocalStore) -> None:
    """Give the database's free pages back; it needs room for a copy, and nobody else writing."""
    try:
        with closing(sqlite3.connect(store.database, timeout=1, isolation_level=None)) as connection:
            connection.execute("vacuum")
    except sqlite3.OperationalError as error:
        progress(f"the database keeps its size for now ({error}); new runs fill it first")
