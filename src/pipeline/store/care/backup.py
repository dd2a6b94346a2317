"""One file that holds a store as it was at one moment, written while others use it."""

import os
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.care.archive import DATABASE, Manifest, Packer
from pipeline.store.care.orphans import experiment_folders, unnamed_folders
from pipeline.store.care.relocate import copy_database
from pipeline.store.care.versions import damages
from pipeline.store.create import sweep
from pipeline.store.database import LocalStore, path_of
from pipeline.store.locations import check_not_moved, is_inside
from pipeline.store.locks import CARE, held
from pipeline.support.files import replacing


@dataclass(frozen=True)
class Backup:
    """A backup that was written.

    Attributes
    ----------
    path : Path
    size : int
        Bytes.
    n_files : int
        Besides the database.
    damaged : list of str
        What is wrong with registered versions in the store itself.
    elsewhere : list of str
        What is not in the backup, because it lies elsewhere.
    """

    path: Path
    size: int
    n_files: int
    damaged: list[str]
    elsewhere: list[str]


def backup(store: LocalStore, to: Path | None = None) -> Backup:
    """Write a backup.

    The database is copied first and the files after it: a row is there before its files are, so that all the rows of
    the copy find theirs. Files of runs that began later are left out. Not compressed: half of a store does not
    shrink, and compressing would take longer than all else.

    Parameters
    ----------
    store : LocalStore
    to : Path, optional
        Beside the store's folder, with the time in its name, when absent.

    Returns
    -------
    Backup

    Raises
    ------
    StoreError
        When there is no store, it was moved, or it cannot be read.
    """
    if not store.exists:
        raise StoreError(f"there is no store {store.database} to back up", "name it with MLFLOW_TRACKING_URI")
    check_not_moved(store)
    target = to or store.home.with_name(f"{store.home.name}.backup-{datetime.now():%Y%m%d-%H%M%S}.tar")
    if target.is_dir():
        raise StoreError(f"{target} is a folder", f"name a file: --to {target / 'store.tar'}")
    names = (CARE,) if os.access(store.home, os.W_OK) else ()  # what nobody can write needs no lock
    with held(store.home, *names), tempfile.TemporaryDirectory() as folder, replacing(target) as written:
        sweep(store)
        copy = Path(folder) / DATABASE
        copy_database(store.database, copy)
        with closing(sqlite3.connect(copy)) as connection:
            check_integrity(connection, store.database)
            files = files_of(connection, store)
            damaged = damages(connection, store.home, store.home)
            elsewhere = _elsewhere(connection, store)
        size = _write(copy, files, store, written, damaged)
    return Backup(target, size, len(files), damaged, elsewhere)


def files_of(connection: sqlite3.Connection, store: LocalStore) -> list[Path]:
    """Return the files that the rows of a database name, in order."""
    unnamed = set(unnamed_folders(connection, store))
    found: set[Path] = set()
    for top in experiment_folders(connection, store):
        for place, folders, names in os.walk(top):
            folders[:] = [one for one in folders if Path(place, one) not in unnamed]
            found.update(Path(place, name) for name in names)
    return sorted(found)


def check_integrity(connection: sqlite3.Connection, of: Path) -> None:
    """Raise a `StoreError` when SQLite finds a database broken."""
    try:
        answer = connection.execute("pragma integrity_check").fetchone()[0]
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        raise StoreError(f"the database {of} is broken: {answer}", "restore a backup: python src/store.py restore FILE")


def _write(copy: Path, files: list[Path], store: LocalStore, written: Path, damaged: list[str]) -> int:
    from tqdm import tqdm

    total = sum(file.stat().st_size for file in files) + copy.stat().st_size
    made = datetime.now(UTC).isoformat(timespec="seconds")
    with (
        tqdm(total=total, desc="backup", unit="B", unit_scale=True, delay=2, leave=False, disable=None) as bar,
        tarfile.open(written, "w") as tar,
    ):
        packer = Packer(tar, bar.update)
        packer.add(copy, DATABASE)
        for file in files:
            packer.add(file, file.relative_to(store.home).as_posix())
        packer.finish(Manifest(str(store.home), made, damaged))
    return written.stat().st_size


def _elsewhere(connection: sqlite3.Connection, store: LocalStore) -> list[str]:
    query = """select name, artifact_location from experiments
        where artifact_location is not null and experiment_id in (select experiment_id from runs) order by name"""
    return [
        f"experiment {name} in {location}"
        for name, location in connection.execute(query)
        if not (place := path_of(location)) or not is_inside(place, store.home)
    ]
