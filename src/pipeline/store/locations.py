"""Where a store records its files, and whether they are still there: MLflow writes places down as absolute paths."""

import sqlite3
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.database import LocalStore, path_of, reading

# Table, column, and which rows: all places of MLflow's schema that hold the location of files.
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
    """Refuse a store that was moved or copied: it would find no files, and write new ones to the old place.

    Raises
    ------
    StoreError
        Naming the command that mends it.
    """
    with reading(store.database) as connection:
        former = former_homes(connection, store)
    if former:
        raise StoreError(
            f"the MLflow store in {store.home} was moved: it records its files in {', '.join(map(str, former))}",
            "let it record where they are now: python src/store.py relocate (or move it back)",
        )


def former_homes(connection: sqlite3.Connection, store: LocalStore) -> list[Path]:
    """Return the folders in which a store was, by the places it records, and no longer is.

    A place elsewhere is no sign of a move: someone may have chosen it. Signs are files of the experiment that lie
    beside the database, under the same name, or that experiment Default records the same folder, for that is where
    the store was made.
    """
    rows = connection.execute("select experiment_id, artifact_location from experiments").fetchall()
    places = {number: place for number, location in rows if (place := path_of(location))}
    outside = {number: place for number, place in places.items() if not is_inside(place, store.home)}
    default = outside.get(DEFAULT_EXPERIMENT)
    former = set()
    for number, place in outside.items():
        if number != DEFAULT_EXPERIMENT and default and place.parent == default.parent:
            former.add(place.parent)
        elif home := _home_by_files(connection, number, place, store.home):
            former.add(home)
    return sorted(former)


def _home_by_files(connection: sqlite3.Connection, experiment_id: int, place: Path, home: Path) -> Path | None:
    """Return the folder that `home` was when an experiment's files, now in `home`, lay at `place`."""
    for depth in range(1, len(place.parts)):
        files = home.joinpath(*place.parts[-depth:])
        if files.is_dir() and _holds_files_of(connection, experiment_id, files):
            return Path(*place.parts[:-depth])
    return None


def _holds_files_of(connection: sqlite3.Connection, experiment_id: int, folder: Path) -> bool:
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


def check_there(place: Path, store: LocalStore) -> None:
    """Refuse an experiment's folder that is neither in the store's folder nor there at all.

    Raises
    ------
    StoreError
    """
    if not is_inside(place, store.home) and not place.exists() and not place.parent.exists():
        raise StoreError(
            f"the MLflow store in {store.home} was moved, or its disk is missing: it records files in {place}",
            f"bring {place.parent} back; or if the store was there: python src/store.py relocate --from {place.parent}",
        )


def is_inside(place: Path, home: Path) -> bool:
    """Return whether a place lies in the store's folder, by whatever name."""
    return place.is_relative_to(home) or place.resolve().is_relative_to(home.resolve())
