"""Update the locations that a store records after it was moved."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.create import remove_leftovers
from pipeline.store.database import LocalStore, connect, local_path, open_for_reading, table_names, transaction
from pipeline.store.locations import LOCATIONS, former_homes
from pipeline.store.locks import CREATION, MAINTENANCE, REGISTRY, hold_locks
from pipeline.support.files import atomic_write
from pipeline.support.progress import progress


@dataclass(frozen=True)
class Relocation:
    """The number of locations that were updated, and the store's former folders."""

    n_locations: int
    origins: list[Path]


def relocate(store: LocalStore, origin: Path | None = None) -> Relocation:
    """Update the recorded locations from the store's former folder to its current one, in one transaction.

    The database is first copied beside itself.

    Parameters
    ----------
    store : LocalStore
    origin : Path, optional
        The store's former folder; detected by default.

    Returns
    -------
    Relocation

    Raises
    ------
    StoreError
        If there is no store, or another process is writing to it.
    """
    if not store.exists:
        raise StoreError(f"there is no store {store.database}", "set MLFLOW_TRACKING_URI to a store")
    with hold_locks(store.home, MAINTENANCE, REGISTRY, CREATION):
        remove_leftovers(store)
        with open_for_reading(store.database) as connection:
            homes = [origin] if origin else former_homes(connection, store)
            n_outdated = count_outdated(connection, homes, store.home)
        if not n_outdated:
            return Relocation(0, [])
        progress(f"copied the unchanged database to {copy_beside(store, 'before-relocate')}")
        with transaction(store.database) as connection:
            return Relocation(sum(rewrite(connection, home, store.home) for home in homes), homes)


def rewrite(connection: sqlite3.Connection, origin: Path, home: Path) -> int:
    """Update all recorded locations below `origin` to the same path below `home`, and return their number."""
    n_changed = 0
    for table, column, rowid, location in _recorded_locations(connection):
        path = local_path(location)
        if path is None or not path.is_relative_to(origin) or path.is_relative_to(home):
            continue
        new_path = home / path.relative_to(origin)
        value = str(new_path) if location.startswith("/") else new_path.as_uri()
        connection.execute(f'update "{table}" set "{column}" = ? where rowid = ?', (value, rowid))  # noqa: S608
        n_changed += 1
    return n_changed


def count_outdated(connection: sqlite3.Connection, origins: list[Path], home: Path) -> int:
    """Return the number of recorded locations below one of `origins` and not below `home`."""
    paths = [local_path(location) for *_, location in _recorded_locations(connection)]
    return sum(
        any(path.is_relative_to(origin) for origin in origins) and not path.is_relative_to(home)
        for path in paths
        if path
    )


def copy_beside(store: LocalStore, reason: str) -> Path:
    """Write a consistent copy of the database to the store's folder, even while it is in use, and return its path."""
    copy = store.database.with_name(f"{store.database.name}.{reason}-{datetime.now():%Y%m%d-%H%M%S}")
    with atomic_write(copy) as temporary:
        copy_database(store.database, temporary)
    return copy


def copy_database(database: Path, target: Path) -> None:
    """Write a consistent copy of a database, even while it is in use.

    Raises
    ------
    StoreError
        If the database is broken, or the copy cannot be written.
    """
    try:
        with connect(database) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{database} cannot be copied to {target.parent}: {error}",
            "free disk space there, or if the database is broken, restore a backup: python src/store.py restore FILE",
        ) from None


def _recorded_locations(connection: sqlite3.Connection) -> list[tuple[str, str, int, str]]:
    """Return the table, column, row ID and value of every recorded location."""
    tables, found = table_names(connection), []
    for table, column, condition in LOCATIONS:
        if table in tables:
            query = f'select rowid, "{column}" from "{table}" where "{column}" is not null and {condition}'  # noqa: S608
            found += [(table, column, rowid, value) for rowid, value in connection.execute(query)]
    return found
