"""A new store's database appears whole or not at all; one of another MLflow is left alone."""

import shutil
from contextlib import suppress
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.database import JOURNALS, SQLITE, LocalStore, reading, tables_of
from pipeline.support.files import beside, sweep_files, to_disk

BEFORE_RESTORE = ".before-restore-"  # in the name of a store that a restore replaced


def ensure_database(store: LocalStore) -> None:
    """Create the database of a store that has none.

    It is migrated in a folder beside and renamed, under a lock: two processes that create one database would leave
    it broken for good, and so would a process that is killed on the way. The experiment Default gets its place
    beside the final database.

    Raises
    ------
    StoreError
        When a restore was stopped while it put the store into its place.
    """
    from filelock import FileLock

    if store.exists:
        return
    _check_no_stopped_restore(store.home)
    store.home.mkdir(parents=True, exist_ok=True)
    with FileLock(store.home / "mlflow.lock"):
        if store.exists:  # another process was first
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        sweep(store)
        folder = beside(store.database)
        folder.mkdir()
        try:
            made = folder / store.database.name
            engine = SqlAlchemyStore(f"{SQLITE}{made}", store.home.as_uri()).engine  # type: ignore[no-untyped-call]
            engine.dispose()
            for suffix in JOURNALS:  # of a database that was removed: it would be played into the new one
                Path(f"{store.database}{suffix}").unlink(missing_ok=True)
            made.replace(store.database)
            to_disk(store.home)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def check_schema(store: LocalStore) -> None:
    """Refuse a database of another MLflow, which MLflow would upgrade in place, without a copy.

    Raises
    ------
    StoreError
        Naming the command that upgrades.
    """
    import mlflow
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    with reading(store.database) as connection:
        known = "alembic_version" in tables_of(connection)
        found = connection.execute("select version_num from alembic_version").fetchone() if known else None
    if found is None:
        raise StoreError(
            f"{store.database} is no finished MLflow database",
            f"move it away, and a new one is made: mv {store.database} {store.database}.broken",
        )
    script = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if found[0] == script.get_current_head():
        return
    try:
        script.get_revision(found[0])
    except CommandError:
        raise StoreError(
            f"{store.database} is of a newer MLflow than {mlflow.__version__} (schema {found[0]})",
            "install the MLflow that wrote it, or restore a backup made by this one",
        ) from None
    raise StoreError(
        f"{store.database} is of an older MLflow than {mlflow.__version__} (schema {found[0]})",
        f"back it up and upgrade it: python src/store.py backup && mlflow db upgrade {SQLITE}{store.database}",
    )


def sweep(store: LocalStore) -> None:
    """Remove what killed processes left unfinished in the store's folder and beside it."""
    with suppress(OSError):  # of a store that may only be read
        sweep_files(store.home, store.home.parent)


def _check_no_stopped_restore(home: Path) -> None:
    replaced = sorted(home.parent.glob(f"{home.name}{BEFORE_RESTORE}*"))
    if replaced and not home.exists():
        raise StoreError(
            f"there is no store {home}, but one that a restore put aside: {replaced[-1]}",
            f"run the restore again, or take that one back: mv {replaced[-1]} {home}",
        )
