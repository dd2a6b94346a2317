"""Create a store's database atomically, and refuse one with another MLflow version's schema."""

import shutil
from contextlib import suppress
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.database import JOURNAL_SUFFIXES, SQLITE, LocalStore, open_for_reading, table_names
from pipeline.store.schema import create_tables
from pipeline.support.files import remove_unfinished_files, sync_to_disk, temporary_path

BEFORE_RESTORE = ".before-restore-"  # in the name of a store that a restore replaced


def ensure_database(store: LocalStore) -> None:
    """Create the store's database if there is none.

    It is created in a temporary folder and then renamed, under a lock: two processes creating the same
    database, or a process killed while creating it, would leave it broken for good. The artifact location of the
    experiment Default is beside the final database.

    Raises
    ------
    StoreError
        If there is no store because a restore was interrupted.
    """
    from filelock import FileLock

    if store.exists:
        return
    _check_no_interrupted_restore(store.home)
    store.home.mkdir(parents=True, exist_ok=True)
    with FileLock(store.home / "mlflow.lock"):
        if store.exists:  # another process has created it
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        remove_leftovers(store)
        folder = temporary_path(store.database)
        folder.mkdir()
        try:
            database = folder / store.database.name
            create_tables(database)
            engine = SqlAlchemyStore(f"{SQLITE}{database}", store.home.as_uri()).engine  # type: ignore[no-untyped-call]
            engine.dispose()
            for suffix in JOURNAL_SUFFIXES:  # SQLite would apply the journals of a removed database to the new one
                Path(f"{store.database}{suffix}").unlink(missing_ok=True)
            database.replace(store.database)
            sync_to_disk(store.home)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def check_schema(store: LocalStore) -> None:
    """Refuse a database of another MLflow version, which MLflow would upgrade in place without a backup.

    Raises
    ------
    StoreError
        With the command that upgrades the database.
    """
    import mlflow
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    with open_for_reading(store.database) as connection:
        has_schema = "alembic_version" in table_names(connection)
        row = connection.execute("select version_num from alembic_version").fetchone() if has_schema else None
    if row is None:
        raise StoreError(
            f"{store.database} is not a complete MLflow database",
            f"move it away, and a new one is created: mv {store.database} {store.database}.broken",
        )
    schema = row[0]
    script = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if schema == script.get_current_head():
        return
    try:
        script.get_revision(schema)
    except CommandError:
        raise StoreError(
            f"{store.database} was written by a newer MLflow than {mlflow.__version__} (schema {schema})",
            "install the MLflow version that wrote it, or restore a backup made with this version",
        ) from None
    raise StoreError(
        f"{store.database} was written by an older MLflow than {mlflow.__version__} (schema {schema})",
        f"back it up and upgrade it: python src/store.py backup && mlflow db upgrade {SQLITE}{store.database}",
    )


def remove_leftovers(store: LocalStore) -> None:
    """Remove the unfinished files that killed processes left in and beside the store's folder."""
    with suppress(OSError):  # the store may be read-only
        remove_unfinished_files(store.home, store.home.parent)


def _check_no_interrupted_restore(home: Path) -> None:
    replaced = sorted(home.parent.glob(f"{home.name}{BEFORE_RESTORE}*"))
    if replaced and not home.exists():
        raise StoreError(
            f"there is no store {home}, but a restore renamed the former one to {replaced[-1]}",
            f"run the restore again, or bring the former store back: mv {replaced[-1]} {home}",
        )
