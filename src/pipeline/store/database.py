"""The store's SQLite database, read and written beside MLflow."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.errors import StoreError

SQLITE = "sqlite:///"
PATIENCE = 5  # seconds to wait for others, of whom a person is told afterwards
TOUCH = "select count(*) from sqlite_master"
JOURNALS = ("-journal", "-wal", "-shm")


@dataclass(frozen=True)
class LocalStore:
    """A store that is a SQLite database with artifacts beside it.

    Attributes
    ----------
    database : Path
        Absolute.
    """

    database: Path

    @property
    def home(self) -> Path:
        """The folder of database and artifacts."""
        return self.database.parent

    @property
    def exists(self) -> bool:
        """Whether there is a database: an empty file is none."""
        return self.database.exists() and self.database.stat().st_size > 0


def local_store(uri: str) -> LocalStore | None:
    """Return the local store that a tracking URI names; None of servers and other databases."""
    return LocalStore(Path(uri.removeprefix(SQLITE)).absolute()) if uri.startswith(SQLITE) else None


def connect(database: Path) -> closing[sqlite3.Connection]:
    """Return a connection that only reads, and leaves no trace; to be used in a `with`.

    What a killed process left half-written is rolled back first, which a connection that only reads may not do.
    """
    connection = _read_only(database)
    try:
        connection.execute(TOUCH)
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:  # the low byte is what an extended code is of
            raise
        with closing(sqlite3.connect(database, timeout=20)) as recovering:
            recovering.execute(TOUCH)
        connection = _read_only(database)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return closing(connection)


def _read_only(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=20)


@contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a database to read.

    Raises
    ------
    StoreError
        When it is missing or no database.
    """
    try:
        with connect(database) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"the MLflow store {SQLITE}{database} cannot be used: {error}",
            f"restore a backup (python src/store.py restore FILE), or move a broken {database.name} away",
        ) from None


@contextmanager
def writing(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for one transaction, which ends with the block: all of it, or when the block raises nothing.

    Raises
    ------
    StoreError
        When another process keeps writing to it, the disk is full, or it may not be written.
    """
    try:
        with closing(sqlite3.connect(database, timeout=PATIENCE, isolation_level=None)) as connection:
            connection.execute("pragma foreign_keys = on")
            connection.execute("begin immediate")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
            connection.execute("commit")
    except sqlite3.OperationalError as error:
        remedy = "free disk space and see that you may write there, then run the command again"
        if "locked" in str(error):
            remedy = "another process is writing to it: wait until it is done, then run the command again"
        raise StoreError(f"{database} cannot be written: {error}; it is as it was", remedy) from None


def tables_of(connection: sqlite3.Connection) -> set[str]:
    """Return the names of all tables: older MLflow has fewer."""
    return {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}


def path_of(location: str | None) -> Path | None:
    """Return the path of an artifact location, ``file:`` URI or plain path; None of ``s3:`` and the like."""
    if location and location.startswith("/"):
        return Path(location)
    parts = urlsplit(location or "")
    return Path(unquote(parts.path)) if parts.scheme == "file" and parts.netloc in ("", "localhost") else None
