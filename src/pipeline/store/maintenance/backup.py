"""Back up a store to one file, consistently and while it is in use."""

import os
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.create import remove_leftovers
from pipeline.store.database import LocalStore, local_path
from pipeline.store.locations import check_not_moved, is_inside
from pipeline.store.locks import MAINTENANCE, hold_locks
from pipeline.store.maintenance.archive import DATABASE, Manifest, Packer
from pipeline.store.maintenance.orphans import experiment_folders, orphaned_folders
from pipeline.store.maintenance.relocate import copy_database
from pipeline.store.maintenance.versions import version_problems
from pipeline.support.files import atomic_write


@dataclass(frozen=True)
class Backup:
    """A summary of a backup that was written.

    Attributes
    ----------
    path : Path
    size : int
        Size in bytes.
    n_files : int
        Number of files, not counting the database.
    damaged : list of str
        Problems of registered versions in the store itself.
    elsewhere : list of str
        Experiments that are not in the backup because their files are outside the store's folder.
    """

    path: Path
    size: int
    n_files: int
    damaged: list[str]
    elsewhere: list[str]


def backup(store: LocalStore, to: Path | None = None) -> Backup:
    """Write a backup of a store.

    The database is copied before the files that its rows refer to. MLflow writes a row before its files, so files
    written in between are included; files of runs that start later are left out. The tar is not compressed: half of
    a store does not shrink, and compressing takes longer than everything else.

    Parameters
    ----------
    store : LocalStore
    to : Path, optional
        Path of the backup; by default beside the store's folder, with the time in its name.

    Returns
    -------
    Backup

    Raises
    ------
    StoreError
        If there is no store, it was moved, or it cannot be read.
    """
    if not store.exists:
        raise StoreError(f"there is no store {store.database} to back up", "set MLFLOW_TRACKING_URI to a store")
    check_not_moved(store)
    target = to or store.home.with_name(f"{store.home.name}.backup-{datetime.now():%Y%m%d-%H%M%S}.tar")
    if target.is_dir():
        raise StoreError(f"{target} is a folder", f"give the path of a file: --to {target / 'store.tar'}")
    locks = (MAINTENANCE,) if os.access(store.home, os.W_OK) else ()  # a read-only store needs no lock
    with hold_locks(store.home, *locks), tempfile.TemporaryDirectory() as folder, atomic_write(target) as temporary:
        remove_leftovers(store)
        copy = Path(folder) / DATABASE
        copy_database(store.database, copy)
        with closing(sqlite3.connect(copy)) as connection:
            check_integrity(connection, store.database)
            files = referenced_files(connection, store)
            damaged = version_problems(connection, store.home, store.home)
            elsewhere = _experiments_elsewhere(connection, store)
        size = _write(copy, files, store, temporary, damaged)
    return Backup(target, size, len(files), damaged, elsewhere)


def referenced_files(connection: sqlite3.Connection, store: LocalStore) -> list[Path]:
    """Return the files of the runs and models in a database, sorted."""
    orphaned = set(orphaned_folders(connection, store))
    found: set[Path] = set()
    for experiment_folder in experiment_folders(connection, store):
        for folder, subfolders, names in os.walk(experiment_folder):
            subfolders[:] = [name for name in subfolders if Path(folder, name) not in orphaned]
            found.update(Path(folder, name) for name in names)
    return sorted(found)


def check_integrity(connection: sqlite3.Connection, source: Path) -> None:
    """Raise a `StoreError` that names `source` if SQLite's integrity check of the database fails."""
    try:
        result = connection.execute("pragma integrity_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        result = str(error)
    if result != "ok":
        raise StoreError(
            f"the database {source} is broken: {result}", "restore a backup: python src/store.py restore FILE"
        )


def _write(copy: Path, files: list[Path], store: LocalStore, target: Path, damaged: list[str]) -> int:
    """Write the tar and return its size in bytes."""
    from tqdm import tqdm

    total = sum(file.stat().st_size for file in files) + copy.stat().st_size
    made = datetime.now(UTC).isoformat(timespec="seconds")
    with (
        tqdm(total=total, desc="backup", unit="B", unit_scale=True, delay=2, leave=False, disable=None) as bar,
        tarfile.open(target, "w") as tar,
    ):
        packer = Packer(tar, bar.update)
        packer.add(copy, DATABASE)
        for file in files:
            packer.add(file, file.relative_to(store.home).as_posix())
        packer.finish(Manifest(str(store.home), made, damaged))
    return target.stat().st_size


def _experiments_elsewhere(connection: sqlite3.Connection, store: LocalStore) -> list[str]:
    query = """select name, artifact_location from experiments
        where artifact_location is not null and experiment_id in (select experiment_id from runs) order by name"""
    return [
        f"experiment {name} in {location}"
        for name, location in connection.execute(query)
        if not (path := local_path(location)) or not is_inside(path, store.home)
    ]
