"""Read and write the store's SQLite database directly, without MLflow."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.errors import StoreError

SQLITE = "sqlite:///"
LOCK_TIMEOUT = 5  # seconds to wait for a lock before raising an error
PROBE = "select count(*) from sqlite_master"  # reads the file, which merely connecting does not
JOURNAL_SUFFIXES = ("-journal", "-wal", "-shm")


@dataclass(frozen=True)
class LocalStore:
    """A store on this machine: a SQLite database, with artifacts in the same folder.

    Attributes
    ----------
    database : Path
        Absolute path of the database.
    """

    database: Path

    @property
    def home(self) -> Path:
        """The folder of the database and the artifacts."""
        return self.database.parent

    @property
    def exists(self) -> bool:
        """Whether the database exists and is not an empty file."""
        return self.database.exists() and self.database.stat().st_size > 0


def local_store(uri: str) -> LocalStore | None:
    """Return the local store at a tracking URI; None for a server or another kind of database."""
    return LocalStore(Path(uri.removeprefix(SQLITE)).absolute()) if uri.startswith(SQLITE) else None


def connect(database: Path) -> closing[sqlite3.Connection]:
    """Return a read-only connection as a context manager.

    A transaction that a killed process left unfinished is rolled back first, over a writable connection.
    """
    connection = _connect_read_only(database)
    try:
        connection.execute(PROBE)
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:  # the low byte holds the primary result code
            raise
        with closing(sqlite3.connect(database, timeout=20)) as writable:
            writable.execute(PROBE)
        connection = _connect_read_only(database)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return closing(connection)


def _connect_read_only(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=20)


@contextmanager
def open_for_reading(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading.

    Raises
    ------
    StoreError
        If the file does not exist or is not a database.
    """
    try:
        with connect(database) as connection:
            yield connection
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"the MLflow store {SQLITE}{database} cannot be used: {error}",
            f"restore a backup (python src/store.py restore FILE), or move the broken {database.name} away",
        ) from None


@contextmanager
def transaction(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for one transaction: committed when the block ends, rolled back if it raises.

    Raises
    ------
    StoreError
        If the database stays locked by another process, the disk is full, or the file is not writable.
    """
    try:
        with closing(sqlite3.connect(database, timeout=LOCK_TIMEOUT, isolation_level=None)) as connection:
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
        remedy = "free disk space and make the file and its folder writable, then run the command again"
        if "locked" in str(error):
            remedy = "another process is writing to it: wait until it is done, then run the command again"
        raise StoreError(f"{database} cannot be written: {error}; nothing was changed", remedy) from None


def table_names(connection: sqlite3.Connection) -> set[str]:
    """Return the names of all tables; databases of older MLflow versions lack some."""
    return {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}


def local_path(location: str | None) -> Path | None:
    """Return the local path of an artifact location (``file:`` URI or plain path); None for ``s3:`` and the like.

    Examples
    --------
    >>> local_path("file:///srv/models/mlruns/1").as_posix()
    '/srv/models/mlruns/1'
    >>> local_path("s3://bucket/1") is None
    True
    """
    if location and location.startswith("/"):
        return Path(location)
    parts = urlsplit(location or "")
    return Path(unquote(parts.path)) if parts.scheme == "file" and parts.netloc in ("", "localhost") else None
