"""Remove runs that nobody will ask for, with their files, for good."""

import re
import shutil
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.store.care.candidates import Tree, empty_models_of_server, kept_of, trees_to_prune
from pipeline.store.care.orphans import empty_models, unnamed_folders
from pipeline.store.care.sizes import in_words, size_of
from pipeline.store.database import LocalStore, path_of, reading, tables_of, writing
from pipeline.store.locks import CARE, REGISTRY, held
from pipeline.store.stale_runs import sweep_runs
from pipeline.support.text import aligned

if TYPE_CHECKING:
    from mlflow import MlflowClient

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


def prune(client: "MlflowClient", store: LocalStore | None, older_than: str, dry_run: bool) -> list[Tree]:
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
    list of Tree
        What went, or would go.
    """
    before = int((time.time() - seconds_of(older_than)) * 1000)
    if store is None:
        if not dry_run:
            sweep_runs(client)
        return _prune_server(client, before, dry_run)
    if dry_run:
        trees, folders, models = _of_local(client, store, before)
        _print_table(trees, _sizes(store, trees), folders, models)
        if trees or folders or models:
            print(f"nothing was removed; to do it: python src/store.py prune --older-than {older_than} --no-dry-run")
        return trees
    with held(store.home, CARE, REGISTRY):
        sweep_runs(client)
        trees, folders, models = _of_local(client, store, before)
        free = size_of(store.database)
        sizes = _sizes(store, trees)
        _print_table(trees, sizes, folders, models)
        for tree in trees:
            _remove_tree(store, tree)
        for folder in folders:
            shutil.rmtree(folder)
        for name in models:
            client.delete_registered_model(name)
        if trees or folders or models:
            _vacuum(store)
            freed = sum(sizes) + sum(size for _, size in folders.items()) + free - size_of(store.database)
            print(f"removed; {in_words(max(0, freed))} are free")
    return trees


def _of_local(client: "MlflowClient", store: LocalStore, before: int) -> tuple[list[Tree], dict[Path, int], list[str]]:
    """Return runs, folders without a row (with their sizes), and registered models without a version that may go."""
    trees = trees_to_prune(client, before, deleted_too=True)
    with reading(store.database) as connection:
        old = [one for one in unnamed_folders(connection, store) if one.stat().st_mtime * 1000 < before]
        return trees, {folder: size_of(folder) for folder in old}, empty_models(connection, before)


def _prune_server(client: "MlflowClient", before: int, dry_run: bool) -> list[Tree]:
    trees = trees_to_prune(client, before, deleted_too=False)
    models = empty_models_of_server(client, before)
    _print_table(trees, None, {}, models)
    if not trees and not models:
        return trees
    if dry_run:
        print("nothing was removed; to do it, add --no-dry-run")
        return trees
    for name in models:
        client.delete_registered_model(name)
    kept = kept_of(client)  # once more: a registration may have come between
    for tree in trees:
        if kept.run_ids.isdisjoint(tree.run_ids) and kept.model_ids.isdisjoint(tree.model_ids):
            for model_id in tree.model_ids:
                client.delete_logged_model(model_id)
            for run_id in tree.run_ids:
                client.delete_run(run_id)
    print("marked as deleted; on the server, `mlflow gc` removes for good all that is so marked, and frees the space")
    return trees


def _remove_tree(store: LocalStore, tree: Tree) -> None:
    """Remove the files of a tree and then its rows: what is killed in between is found again by its rows."""
    with reading(store.database) as connection:
        models = _models_of(connection, tree)
        places = _places(connection, "runs", "run_uuid", "artifact_uri", tree.run_ids)
        places |= _places(connection, "logged_models", "model_id", "artifact_location", models)
    for name, location in places.items():
        _remove_files(name, location)
    with writing(store.database) as connection:
        delete_rows(connection, "logged_models", "model_id", models)
        delete_rows(connection, "runs", "run_uuid", tree.run_ids)


def _models_of(connection: sqlite3.Connection, tree: Tree) -> list[str]:
    """Return the logged models of a tree's runs, those that are marked as deleted too."""
    query = "select model_id from logged_models where source_run_id = ?"
    return sorted({model for run_id in tree.run_ids for (model,) in connection.execute(query, (run_id,))})


def _places(connection: sqlite3.Connection, table: str, key: str, column: str, ids: Iterable[str]) -> dict[str, str]:
    query = f"select {key}, {column} from {table} where {key} = ?"  # noqa: S608 (names of MLflow's schema)
    return dict(row for one in ids for row in connection.execute(query, (one,)))


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
        print(f"the database keeps its size for now ({error}); new runs fill it first")


def _sizes(store: LocalStore, trees: list[Tree]) -> list[int]:
    """Return the bytes of the files of each tree."""
    found = []
    with reading(store.database) as connection:
        for tree in trees:
            places = _places(connection, "runs", "run_uuid", "artifact_uri", tree.run_ids)
            places |= _places(
                connection, "logged_models", "model_id", "artifact_location", _models_of(connection, tree)
            )
            found.append(sum(size_of(path) for one in places.values() if (path := path_of(one))))
    return found


def _print_table(trees: list[Tree], sizes: list[int] | None, folders: dict[Path, int], models: list[str]) -> None:
    rows = [("run", "name", "experiment", "status", "ended", "nested", "models", "space")]
    for number, tree in enumerate(trees):
        info = tree.root.info
        ended = f"{datetime.fromtimestamp((info.end_time or info.start_time or 0) / 1000):%Y-%m-%d %H:%M}"
        nested, space = len(tree.run_ids) - 1, "" if sizes is None else in_words(sizes[number])
        name = str(info.run_name)
        rows.append(
            (info.run_id[:8], name, tree.experiment, info.status, ended, str(nested), str(len(tree.model_ids)), space)
        )
    if trees:
        print(aligned(rows))
    for folder, size in folders.items():
        print(f"files that nothing names: {folder} ({in_words(size)})")
    for name in models:
        print(f"registered model without a version: {name}")
    if not trees and not folders and not models:
        print("nothing to remove is as old as --older-than says")
        return
    total = sum(sizes or []) + sum(folders.values())
    runs = sum(len(tree.run_ids) for tree in trees)
    print(
        f"{runs} runs, {len(folders)} folders, {len(models)} empty models"
        + f"; {in_words(total)}" * (sizes is not None)
    )
