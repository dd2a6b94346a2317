"""Collect everything that can be pruned from a store, with sizes, and format it as a table."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.store.database import LocalStore, local_path, open_for_reading
from pipeline.store.lookup import empty_models
from pipeline.store.maintenance.candidates import RunTree, trees_to_prune
from pipeline.store.maintenance.orphans import orphaned_folders
from pipeline.store.maintenance.sizes import format_size, size_of
from pipeline.support.text import align_columns

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Leftovers:
    """Everything that can be pruned from a store.

    Attributes
    ----------
    trees : list of RunTree
    models : list of str
        Registered models without a version.
    sizes : list of int, optional
        Bytes of each tree's files; None for a server's store, where sizes are unknown.
    folders : dict of Path to int
        Orphaned folders of a local store, and their bytes.
    """

    trees: list[RunTree]
    models: list[str]
    sizes: list[int] | None = None
    folders: dict[Path, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.trees or self.models or self.folders)

    @property
    def size(self) -> int:
        """The total of the known sizes, in bytes."""
        return sum(self.sizes or []) + sum(self.folders.values())


def leftovers_of_local(client: "MlflowClient", store: LocalStore, before_ms: int) -> Leftovers:
    """Return what can be pruned from a local store and is older than a time, including runs marked as deleted."""
    trees = trees_to_prune(client, before_ms, include_deleted=True)
    with open_for_reading(store.database) as connection:
        orphaned = orphaned_folders(connection, store)
        old_folders = [folder for folder in orphaned if folder.stat().st_mtime * 1000 < before_ms]
        sizes = [_size(connection, tree) for tree in trees]
    folder_sizes = {folder: size_of(folder) for folder in old_folders}
    return Leftovers(trees, _old_models(client, before_ms), sizes, folder_sizes)


def leftovers_of_server(client: "MlflowClient", before_ms: int) -> Leftovers:
    """Return what can be pruned from a server's store and is older than a time."""
    return Leftovers(trees_to_prune(client, before_ms, include_deleted=False), _old_models(client, before_ms))


def model_ids_of(connection: sqlite3.Connection, tree: RunTree) -> list[str]:
    """Return the IDs of the logged models of a tree's runs, including those marked as deleted."""
    query = "select model_id from logged_models where source_run_id = ?"
    return sorted({model for run_id in tree.run_ids for (model,) in connection.execute(query, (run_id,))})


def locations_of(connection: sqlite3.Connection, tree: RunTree) -> dict[str, str]:
    """Return the artifact locations of a tree's runs and logged models, by their IDs."""
    run_locations = _locations(connection, "runs", "run_uuid", "artifact_uri", tree.run_ids)
    model_ids = model_ids_of(connection, tree)
    return run_locations | _locations(connection, "logged_models", "model_id", "artifact_location", model_ids)


def format_leftovers(leftovers: Leftovers) -> str:
    """Return a line for each tree, folder and registered model, and a line with the totals."""
    rows = [("run", "name", "experiment", "status", "ended", "nested", "models", "space")]
    for index, tree in enumerate(leftovers.trees):
        info = tree.root.info
        ended = f"{datetime.fromtimestamp((info.end_time or info.start_time or 0) / 1000):%Y-%m-%d %H:%M}"
        nested, space = len(tree.run_ids) - 1, "" if leftovers.sizes is None else format_size(leftovers.sizes[index])
        name, models = str(info.run_name), len(tree.model_ids)
        rows.append((info.run_id[:8], name, tree.experiment, info.status, ended, str(nested), str(models), space))
    n_runs = sum(len(tree.run_ids) for tree in leftovers.trees)
    space = "" if leftovers.sizes is None else f"; {format_size(leftovers.size)}"
    return "\n".join(
        [
            *([align_columns(rows)] if leftovers.trees else []),
            *(f"orphaned files: {folder} ({format_size(size)})" for folder, size in leftovers.folders.items()),
            *(f"registered model without a version: {name}" for name in leftovers.models),
            f"{n_runs} runs, {len(leftovers.folders)} folders, {len(leftovers.models)} empty models{space}",
        ]
    )


def _old_models(client: "MlflowClient", before_ms: int) -> list[str]:
    return [str(model.name) for model in empty_models(client) if model.last_updated_timestamp < before_ms]


def _size(connection: sqlite3.Connection, tree: RunTree) -> int:
    """Return the bytes of a tree's local files."""
    return sum(size_of(path) for location in locations_of(connection, tree).values() if (path := local_path(location)))


def _locations(connection: sqlite3.Connection, table: str, key: str, column: str, ids: Iterable[str]) -> dict[str, str]:
    query = f"select {key}, {column} from {table} where {key} = ?"  # noqa: S608 (names of MLflow's schema)
    return dict(row for row_id in ids for row in connection.execute(query, (row_id,)))
