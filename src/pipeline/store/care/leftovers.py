"""All that may be pruned of a store, how much space it takes, and that as a table."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.store.care.candidates import RunTree, trees_to_prune
from pipeline.store.care.orphans import unnamed_folders
from pipeline.store.care.sizes import in_words, size_of
from pipeline.store.database import LocalStore, path_of, reading
from pipeline.store.lookup import empty_models
from pipeline.support.text import aligned

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Leftovers:
    """What may go.

    Attributes
    ----------
    trees : list of RunTree
    models : list of str
        Registered models without a version.
    sizes : list of int, optional
        The bytes of each tree's files; None of a server's store, which does not say.
    folders : dict of Path to int
        Folders without a row, of a local store, and their bytes.
    """

    trees: list[RunTree]
    models: list[str]
    sizes: list[int] | None = None
    folders: dict[Path, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.trees or self.models or self.folders)

    @property
    def size(self) -> int:
        """Bytes of all of it, as far as they are known."""
        return sum(self.sizes or []) + sum(self.folders.values())


def leftovers_of_local(client: "MlflowClient", store: LocalStore, before_ms: int) -> Leftovers:
    """Return what may go of a local store and ended before a time, runs that are marked as deleted among it."""
    trees = trees_to_prune(client, before_ms, deleted_too=True)
    with reading(store.database) as connection:
        old = [one for one in unnamed_folders(connection, store) if one.stat().st_mtime * 1000 < before_ms]
        sizes = [_size(connection, tree) for tree in trees]
    return Leftovers(trees, _old_models(client, before_ms), sizes, {folder: size_of(folder) for folder in old})


def leftovers_of_server(client: "MlflowClient", before_ms: int) -> Leftovers:
    """Return what may go of a server's store and ended before a time."""
    return Leftovers(trees_to_prune(client, before_ms, deleted_too=False), _old_models(client, before_ms))


def models_of(connection: sqlite3.Connection, tree: RunTree) -> list[str]:
    """Return the logged models of a tree's runs, those that are marked as deleted too."""
    query = "select model_id from logged_models where source_run_id = ?"
    return sorted({model for run_id in tree.run_ids for (model,) in connection.execute(query, (run_id,))})


def places_of(connection: sqlite3.Connection, tree: RunTree) -> dict[str, str]:
    """Return the locations of the files of a tree's runs and logged models, by their ids."""
    places = _places(connection, "runs", "run_uuid", "artifact_uri", tree.run_ids)
    models = models_of(connection, tree)
    return places | _places(connection, "logged_models", "model_id", "artifact_location", models)


def table(found: Leftovers) -> str:
    """Return a line for each tree, folder and model, and what they come to."""
    rows = [("run", "name", "experiment", "status", "ended", "nested", "models", "space")]
    for number, tree in enumerate(found.trees):
        info = tree.root.info
        ended = f"{datetime.fromtimestamp((info.end_time or info.start_time or 0) / 1000):%Y-%m-%d %H:%M}"
        nested, space = len(tree.run_ids) - 1, "" if found.sizes is None else in_words(found.sizes[number])
        name, models = str(info.run_name), len(tree.model_ids)
        rows.append((info.run_id[:8], name, tree.experiment, info.status, ended, str(nested), str(models), space))
    runs = sum(len(tree.run_ids) for tree in found.trees)
    space = "" if found.sizes is None else f"; {in_words(found.size)}"
    return "\n".join(
        [
            *([aligned(rows)] if found.trees else []),
            *(f"files that nothing names: {folder} ({in_words(size)})" for folder, size in found.folders.items()),
            *(f"registered model without a version: {name}" for name in found.models),
            f"{runs} runs, {len(found.folders)} folders, {len(found.models)} empty models{space}",
        ]
    )


def _old_models(client: "MlflowClient", before_ms: int) -> list[str]:
    return [str(model.name) for model in empty_models(client) if model.last_updated_timestamp < before_ms]


def _size(connection: sqlite3.Connection, tree: RunTree) -> int:
    return sum(size_of(path) for one in places_of(connection, tree).values() if (path := path_of(one)))


def _places(connection: sqlite3.Connection, table: str, key: str, column: str, ids: Iterable[str]) -> dict[str, str]:
    query = f"select {key}, {column} from {table} where {key} = ?"  # noqa: S608 (names of MLflow's schema)
    return dict(row for one in ids for row in connection.execute(query, (one,)))
