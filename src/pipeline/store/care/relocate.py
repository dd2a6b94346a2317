"""A moved store learns where its files are now."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.create import sweep
from pipeline.store.database import LocalStore, connect, path_of, reading, tables_of, writing
from pipeline.store.locations import LOCATIONS, former_homes
from pipeline.store.locks import CARE, CREATION, REGISTRY, held
from pipeline.support.files import replacing
from pipeline.support.progress import progress


@dataclass(frozen=True)
class Relocation:
    """How many recorded places were rewritten, and the folders in which the store was."""

    n_places: int
    origins: list[Path]


def relocate(store: LocalStore, origin: Path | None = None) -> Relocation:
    """Rewrite the places a store records from where it was to where it is, in one transaction.

    Parameters
    ----------
    store : LocalStore
    origin : Path, optional
        The folder where the database was. Found out when absent.

    Returns
    -------
    Relocation

    Raises
    ------
    StoreError
        When there is no store, or another process writes to it.
    """
    if not store.exists:
        raise StoreError(f"there is no store {store.database}", "name it with MLFLOW_TRACKING_URI")
    with held(store.home, CARE, REGISTRY, CREATION):
        sweep(store)
        with reading(store.database) as connection:
            homes = [origin] if origin else former_homes(connection, store)
            outdated = count_places(connection, homes, store.home)
        if not outdated:
            return Relocation(0, [])
        progress(f"the database as it was is now also in {copy_beside(store, 'before-relocate')}")
        with writing(store.database) as connection:
            return Relocation(sum(rewrite(connection, home, store.home) for home in homes), homes)


def rewrite(connection: sqlite3.Connection, origin: Path, home: Path) -> int:
    """Rewrite all recorded places below `origin` to the same ones below `home`, and return how many they are."""
    changed = 0
    for table, column, rowid, location in _places(connection):
        place = path_of(location)
        if place is None or not place.is_relative_to(origin) or place.is_relative_to(home):
            continue
        now = home / place.relative_to(origin)
        value = str(now) if location.startswith("/") else now.as_uri()
        connection.execute(f'update "{table}" set "{column}" = ? where rowid = ?', (value, rowid))  # noqa: S608
        changed += 1
    return changed


def count_places(connection: sqlite3.Connection, origins: list[Path], home: Path) -> int:
    """Return how many recorded places lie below one of `origins` and not below `home`."""
    places = [path_of(location) for *_, location in _places(connection)]
    return sum(
        any(place.is_relative_to(origin) for origin in origins) and not place.is_relative_to(home)
        for place in places
        if place
    )


def copy_beside(store: LocalStore, why: str) -> Path:
    """Write a consistent copy of the database, whoever writes to it meanwhile, and return its place."""
    copy = store.database.with_name(f"{store.database.name}.{why}-{datetime.now():%Y%m%d-%H%M%S}")
    with replacing(copy) as written:
        copy_database(store.database, written)
    return copy


def copy_database(database: Path, target: Path) -> None:
    """Write a consistent copy of a database."""
    try:
        with connect(database) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"{database} cannot be copied to {target.parent}: {error}",
            "free disk space there; a broken database is replaced by: python src/store.py restore FILE",
        ) from None


def _places(connection: sqlite3.Connection) -> list[tuple[str, str, int, str]]:
    """Return table, column, row and value of every recorded place."""
    known, found = tables_of(connection), []
    for table, column, which in LOCATIONS:
        if table in known:
            query = f'select rowid, "{column}" from "{table}" where "{column}" is not null and {which}'  # noqa: S608
            found += [(table, column, rowid, value) for rowid, value in connection.execute(query)]
    return found
