"""What src/store.py does, for the store that MLFLOW_TRACKING_URI or the repository names."""

from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.care.backup import backup
from pipeline.store.care.prune import prune
from pipeline.store.care.relocate import relocate
from pipeline.store.care.restore import restore
from pipeline.store.care.status import status_of_local, status_of_server
from pipeline.store.database import LocalStore, local_store
from pipeline.store.open import open_store, store_uri, without_password


def show_status() -> None:
    """Print what the store holds and what needs care."""
    store = local_store(store_uri())
    print(status_of_local(store) if store else status_of_server(open_store(), without_password(store_uri())))


def relocate_store(origin: Path | None) -> None:
    """Let a moved store record where its files are now."""
    relocate(_local("A server's store is where the server says: nothing to relocate"), origin and origin.absolute())


def prune_store(older_than: str, dry_run: bool) -> None:
    """Remove failed runs and unregistered candidates, or show which."""
    prune(open_store(), local_store(store_uri()), older_than, dry_run)


def back_up_store(to: Path | None) -> None:
    """Write a backup."""
    backup(_local("the store is a server's"), to)


def restore_store(archive: Path) -> None:
    """Put a backup into the store's place."""
    restore(_local("the store is a server's"), archive)


def _local(problem: str) -> LocalStore:
    """Return the local store, or raise with what to do about a server's."""
    store = local_store(store_uri())
    if store is None:
        raise StoreError(
            f"{problem} ({without_password(store_uri())})",
            "use the tools of its database and of its artifacts: pg_dump and pg_restore, and a copy of the S3 bucket",
        )
    return store
