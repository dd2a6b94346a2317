"""The subcommands of src/store.py; each works on the current store and returns its output as text."""

from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.database import LocalStore, local_store
from pipeline.store.maintenance.backup import backup
from pipeline.store.maintenance.prune import prune
from pipeline.store.maintenance.relocate import relocate
from pipeline.store.maintenance.restore import restore
from pipeline.store.maintenance.sizes import format_size
from pipeline.store.maintenance.status import local_status, server_status
from pipeline.store.open import mask_passwords, open_store, store_uri


def status() -> str:
    """Return the store's contents and problems."""
    store = local_store(store_uri())
    return local_status(store) if store else server_status(open_store(), mask_passwords(store_uri()))


def relocate_store(origin: Path | None) -> str:
    """Update the locations that a moved store records."""
    store = _require_local("a server's store records its own locations, so there is nothing to relocate")
    result = relocate(store, origin and origin.absolute())
    if not result.n_locations:
        return f"nothing to relocate: the store in {store.home} records its files there"
    return f"relocated: {result.n_locations} locations, from {', '.join(map(str, result.origins))} to {store.home}"


def prune_store(older_than: str, dry_run: bool) -> str:
    """Remove failed runs and unregistered candidates, or list them in a dry run."""
    return prune(open_store(), local_store(store_uri()), older_than, dry_run)


def back_up_store(to: Path | None) -> str:
    """Write a backup of the store."""
    written = backup(_require_local("a server's store cannot be backed up from here"), to)
    return "\n".join(
        [
            f"backup: {format_size(written.size)} in {written.path} ({written.n_files:,} files and the database)",
            *(f"backup: note: problem in the store itself: {line}" for line in written.damaged),
            *(f"backup: note: not included, because it is outside the store: {line}" for line in written.elsewhere),
        ]
    )


def restore_store(archive: Path) -> str:
    """Replace the store with a backup."""
    store = _require_local("a server's store cannot be restored from here")
    result = restore(store, archive)
    kept = [f"kept: the replaced store, in {result.former}; remove it when you no longer need it"]
    return "\n".join(
        [
            f"restored: the store of {result.manifest.made} is in {store.home}",
            *(f"restored: note: problem at the time of the backup: {line}" for line in result.manifest.damaged),
            *(kept if result.former else []),
            "check that the store has the latest training's best run: python src/model_register.py",
        ]
    )


def _require_local(problem: str) -> LocalStore:
    """Return the local store, or raise a `StoreError` with `problem` if the store is a server."""
    store = local_store(store_uri())
    if store is None:
        raise StoreError(
            f"{problem} ({mask_passwords(store_uri())})",
            "use the tools of its database and artifact store, such as pg_dump, pg_restore and a copy of the S3 bucket",
        )
    return store
