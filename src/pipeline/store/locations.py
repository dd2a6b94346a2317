"""Check the artifact locations that a store records; MLflow records absolute paths."""

import sqlite3
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.database import LocalStore, local_path, open_for_reading

# Table, column and condition on the rows: all of MLflow's schema that holds the locations of files.
LOCATIONS = (
    ("experiments", "artifact_location", "true"),
    ("runs", "artifact_uri", "true"),
    ("logged_models", "artifact_location", "true"),
    ("model_versions", "storage_location", "true"),
    ("model_versions", "source", "true"),
    ("trace_tags", "value", "key = 'mlflow.artifactLocation'"),
    ("workspaces", "default_artifact_root", "true"),
    ("workspaces", "trace_archival_location", "true"),
)
DEFAULT_EXPERIMENT = 0


def check_not_moved(store: LocalStore) -> None:
    """Refuse a store that was moved or copied: MLflow would find no files, and write new ones to the old location.

    Raises
    ------
    StoreError
        With the command that updates the recorded locations.
    """
    with open_for_reading(store.database) as connection:
        former = former_homes(connection, store)
    if former:
        raise StoreError(
            f"the MLflow store in {store.home} was moved: it still records its files in {', '.join(map(str, former))}",
            "update the recorded locations: python src/store.py relocate (or move the store back)",
        )


def former_homes(connection: sqlite3.Connection, store: LocalStore) -> list[Path]:
    """Return the folders that the store was moved from, inferred from the locations it records.

    An experiment located outside the store's folder is not evidence of a move, as its location may have been chosen.
    The store was moved if the experiment's files are in the store's folder under the same relative path, or if the
    experiment Default, which is always created in the store's folder, is recorded in the same outside folder.
    """
    rows = connection.execute("select experiment_id, artifact_location from experiments").fetchall()
    paths = {experiment_id: path for experiment_id, location in rows if (path := local_path(location))}
    outside = {experiment_id: path for experiment_id, path in paths.items() if not is_inside(path, store.home)}
    default = outside.get(DEFAULT_EXPERIMENT)
    former = set()
    for experiment_id, path in outside.items():
        if experiment_id != DEFAULT_EXPERIMENT and default and path.parent == default.parent:
            former.add(path.parent)
        elif home := _home_by_files(connection, experiment_id, path, store.home):
            former.add(home)
    return sorted(former)


def _home_by_files(connection: sqlite3.Connection, experiment_id: int, recorded: Path, home: Path) -> Path | None:
    """Return the former path of `home`, if an experiment recorded at `recorded` has its files in `home` now."""
    for depth in range(1, len(recorded.parts)):
        folder = home.joinpath(*recorded.parts[-depth:])
        if folder.is_dir() and _contains_files_of(connection, experiment_id, folder):
            return Path(*recorded.parts[:-depth])
    return None


def _contains_files_of(connection: sqlite3.Connection, experiment_id: int, folder: Path) -> bool:
    queries = {
        folder: "select 1 from runs where experiment_id = ? and run_uuid = ?",
        folder / "models": "select 1 from logged_models where experiment_id = ? and model_id = ?",
    }
    return any(
        connection.execute(query, (experiment_id, child.name)).fetchone()
        for parent, query in queries.items()
        if parent.is_dir()
        for child in parent.iterdir()
    )


def check_exists(path: Path, store: LocalStore) -> None:
    """Refuse an experiment's folder that is outside the store's folder and does not exist.

    Raises
    ------
    StoreError
    """
    if not is_inside(path, store.home) and not path.exists() and not path.parent.exists():
        raise StoreError(
            f"the MLflow store in {store.home} was moved, or its disk is missing: it records files in {path}",
            f"make {path.parent} available again; or if the store was there: "
            f"python src/store.py relocate --from {path.parent}",
        )


def is_inside(path: Path, home: Path) -> bool:
    """Return whether a path is in the store's folder, directly or through symbolic links."""
    return path.is_relative_to(home) or path.resolve().is_relative_to(home.resolve())
