"""What src/store.py does, for the store that MLFLOW_TRACKING_URI or the repository names: each command's last words."""

from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.care.backup import backup
from pipeline.store.care.prune import prune
from pipeline.store.care.relocate import relocate
from pipeline.store.care.restore import restore
from pipeline.store.care.sizes import in_words
from pipeline.store.care.status import status_of_local, status_of_server
from pipeline.store.database import LocalStore, local_store
from pipeline.store.open import open_store, store_uri, without_password


def status() -> str:
    """Return what the store holds and what needs care."""
    store = local_store(store_uri())
    return status_of_local(store) if store else status_of_server(open_store(), without_password(store_uri()))


def relocate_store(origin: Path | None) -> str:
    """Let a moved store record where its files are now."""
    store = _local("A server's store is where the server says: nothing to relocate")
    done = relocate(store, origin and origin.absolute())
    if not done.n_places:
        return f"nothing to relocate: the store in {store.home} records its files there"
    return f"relocated: {done.n_places} places, from {', '.join(map(str, done.origins))} to {store.home}"


def prune_store(older_than: str, dry_run: bool) -> str:
    """Remove failed runs and unregistered candidates, or show which."""
    return prune(open_store(), local_store(store_uri()), older_than, dry_run)


def back_up_store(to: Path | None) -> str:
    """Write a backup."""
    made = backup(_local("the store is a server's"), to)
    return "\n".join(
        [
            f"backup: {in_words(made.size)} in {made.path} ({made.n_files:,} files and the database)",
            *(f"backup: note: in the store itself, {line}" for line in made.damaged),
            *(f"backup: note: not in the backup, because it lies elsewhere: {line}" for line in made.elsewhere),
        ]
    )


def restore_store(archive: Path) -> str:
    """Put a backup into the store's place."""
    store = _local("the store is a server's")
    done = restore(store, archive)
    kept = [f"kept, until you remove it, is the store that was there: {done.former}"] if done.former else []
    return "\n".join(
        [
            f"restored: the store of {done.manifest.made} is in {store.home}",
            *(f"restored: note: when it was backed up, {line}" for line in done.manifest.damaged),
            *kept,
            "look whether it has the last training's winner: python src/model_register.py",
        ]
    )


def _local(problem: str) -> LocalStore:
    """Return the local store, or raise with what to do about a server's."""
    store = local_store(store_uri())
    if store is None:
        raise StoreError(
            f"{problem} ({without_password(store_uri())})",
            "use the tools of its database and of its artifacts: pg_dump and pg_restore, and a copy of the S3 bucket",
        )
    return store
