"""Permanently remove failed runs and unregistered candidates, with their files."""

import re
import shutil
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.store.database import LocalStore, local_path, open_for_reading, table_names, transaction
from pipeline.store.locks import MAINTENANCE, REGISTRY, hold_locks
from pipeline.store.maintenance.candidates import RunTree, find_kept
from pipeline.store.maintenance.leftovers import (
    format_leftovers,
    leftovers_of_local,
    leftovers_of_server,
    locations_of,
    model_ids_of,
)
from pipeline.store.maintenance.sizes import format_size, size_of
from pipeline.store.stale_runs import end_stale_runs
from pipeline.support.progress import progress

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTHING = "nothing to remove (only items older than --older-than are removed)"
SECONDS = {"h": 3600, "d": 86_400, "w": 604_800}
BATCH_SIZE = 500  # IDs per SQL statement


def parse_age(age: str) -> int:
    """Return an age such as ``12h``, ``30d`` or ``4w`` in seconds.

    Raises
    ------
    PipelineError
        If the age is not of that form.

    Examples
    --------
    >>> parse_age("12h"), parse_age("2w")
    (43200, 1209600)
    """
    if not re.fullmatch("[0-9]{1,6}[hdw]", age):
        raise PipelineError(
            f"--older-than is {age!r}, which is not an age", "give it in hours, days or weeks: 12h, 30d, 4w"
        )
    return int(age[:-1]) * SECONDS[age[-1]]


def prune(client: "MlflowClient", store: LocalStore | None, older_than: str, dry_run: bool) -> str:
    """Remove failed runs and unregistered candidates of a given age, or list them in a dry run.

    Never removes a run or model of a registered version, the best run of a pipeline folder, or a running run. On a
    server, runs and models are only marked as deleted; ``mlflow gc`` on the server removes them permanently.

    Parameters
    ----------
    client : MlflowClient
    store : LocalStore or None
        None for a server's store.
    older_than : str
        Minimum age, in the form of `seconds_of`.
    dry_run : bool
        Remove nothing.

    Returns
    -------
    str
        A summary for the user. For a dry run, this includes the table of what would be removed; otherwise the table
        is reported as progress before anything is removed.
    """
    before_ms = int((time.time() - parse_age(older_than)) * 1000)
    if store is None:
        return _prune_server(client, before_ms, dry_run)
    if dry_run:
        leftovers = leftovers_of_local(client, store, before_ms)
        hint = f"nothing was removed; to remove these: python src/store.py prune --older-than {older_than} --no-dry-run"
        return f"{format_leftovers(leftovers)}\n{hint}" if leftovers else NOTHING
    with hold_locks(store.home, MAINTENANCE, REGISTRY):
        end_stale_runs(client)
        leftovers, size_before = leftovers_of_local(client, store, before_ms), size_of(store.database)
        if not leftovers:
            return NOTHING
        progress(format_leftovers(leftovers))
        for tree in leftovers.trees:
            _remove_tree(store, tree)
        for folder in leftovers.folders:
            shutil.rmtree(folder)
        for name in leftovers.models:
            client.delete_registered_model(name)
        _vacuum(store)
        return f"removed; {format_size(max(0, leftovers.size + size_before - size_of(store.database)))} freed"


def _prune_server(client: "MlflowClient", before_ms: int, dry_run: bool) -> str:
    if not dry_run:
        end_stale_runs(client)
    leftovers = leftovers_of_server(client, before_ms)
    if not leftovers:
        return NOTHING
    if dry_run:
        return f"{format_leftovers(leftovers)}\nnothing was removed; to remove these, add --no-dry-run"
    progress(format_leftovers(leftovers))
    for name in leftovers.models:
        client.delete_registered_model(name)
    kept = find_kept(client)  # again, as a run may have been registered since the search
    for tree in leftovers.trees:
        if kept.run_ids.isdisjoint(tree.run_ids) and kept.model_ids.isdisjoint(tree.model_ids):
            for model_id in tree.model_ids:
                client.delete_logged_model(model_id)
            for run_id in tree.run_ids:
                client.delete_run(run_id)
    return "marked as deleted; `mlflow gc` on the server removes everything marked and frees the space"


def _remove_tree(store: LocalStore, tree: RunTree) -> None:
    """Remove the files of a tree and then its rows: if killed in between, the next prune finds the rows again."""
    with open_for_reading(store.database) as connection:
        model_ids, locations = model_ids_of(connection, tree), locations_of(connection, tree)
    for name, location in locations.items():
        _remove_files(name, location)
    with transaction(store.database) as connection:
        delete_rows(connection, "logged_models", "model_id", model_ids)
        delete_rows(connection, "runs", "run_uuid", tree.run_ids)


def _remove_files(name: str, location: str) -> None:
    """Remove the files of a run or logged model; local ones are in a folder `artifacts` below a folder named by ID."""
    path = local_path(location)
    if path is None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        get_artifact_repository(location).delete_artifacts()  # type: ignore[no-untyped-call]
    elif path.parent.name == name and path.parent.is_dir():
        shutil.rmtree(path.parent)


def delete_rows(connection: sqlite3.Connection, table: str, key: str, ids: list[str]) -> None:
    """Delete rows and all rows that refer to them, by declared foreign keys and by MLflow's table `inputs`."""
    for start in range(0, len(ids), BATCH_SIZE):
        batch = ids[start : start + BATCH_SIZE]
        marks = ", ".join("?" * len(batch))
        for child in table_names(connection):
            for _, _, parent, column, _, _, on_delete, _ in connection.execute(f'pragma foreign_key_list("{child}")'):
                if parent == table and on_delete == "NO ACTION":
                    connection.execute(f'delete from "{child}" where "{column}" in ({marks})', batch)  # noqa: S608
        for end in ("source_id", "destination_id"):
            connection.execute(f"delete from inputs where {end} in ({marks})", batch)  # noqa: S608
        connection.execute(f'delete from "{table}" where "{key}" in ({marks})', batch)  # noqa: S608


def _vacuum(store: LocalStore) -> None:
    """Shrink the database, which needs disk space for a copy and no other writer; report if it cannot be done."""
    try:
        with closing(sqlite3.connect(store.database, timeout=1, isolation_level=None)) as connection:
            connection.execute("vacuum")
    except sqlite3.OperationalError as error:
        progress(f"the database file was not shrunk ({error}); new runs will reuse its free space")
