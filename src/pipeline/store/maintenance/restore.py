"""Replace a store with a backup, after verifying the backup; the replaced store is kept."""

import os
import shutil
import sqlite3
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.create import BEFORE_RESTORE, remove_leftovers
from pipeline.store.database import LocalStore, connect, transaction
from pipeline.store.locks import CREATION, MAINTENANCE, REGISTRY, hold_locks
from pipeline.store.maintenance.archive import DATABASE, Manifest, unpack
from pipeline.store.maintenance.backup import check_integrity
from pipeline.store.maintenance.relocate import rewrite
from pipeline.store.maintenance.versions import version_problems
from pipeline.support.files import sync_to_disk, temporary_path
from pipeline.support.processes import is_gone

PROJECT_FILES = (".git", ".dvc", "dvc.yaml", "params.yaml", "src")  # a folder with any of these is not only a store


@dataclass(frozen=True)
class Restoration:
    """The result of a restore.

    Attributes
    ----------
    manifest : Manifest
        The backup's manifest.
    former : Path, optional
        Where the replaced store is kept; None if there was no store.
    """

    manifest: Manifest
    former: Path | None


def restore(store: LocalStore, archive: Path) -> Restoration:
    """Replace a store with a backup.

    The backup is extracted beside the store, verified, and its recorded locations are updated. Then two renames
    follow: the current store becomes ``….before-restore-…``, and the new one takes its name. If the process is killed
    between them, there is no store, and the next command raises an error that names the renamed one.

    Returns
    -------
    Restoration

    Raises
    ------
    StoreError
        If the backup is incomplete or damaged, or the store is in use; nothing is changed then.
    """
    home = store.home
    _check_own_folder(home)
    home.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(store)
    folder = temporary_path(home)
    folder.mkdir()
    try:
        manifest = unpack(archive, folder)
        with closing(sqlite3.connect(folder / DATABASE)) as connection:
            check_integrity(connection, archive)
            problems = set(version_problems(connection, Path(manifest.home), folder)) - set(manifest.damaged)
        if problems:
            raise StoreError(
                f"{archive} is damaged: {sorted(problems)[0]}", "use another backup; the current store was not changed"
            )
        with transaction(folder / DATABASE) as connection:
            rewrite(connection, Path(manifest.home), home)
        (folder / DATABASE).rename(folder / store.database.name)
        os.sync()  # the whole backup must be on disk before the store is replaced
        former = _swap(store, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Restoration(manifest, former)


def _swap(store: LocalStore, folder: Path) -> Path | None:
    """Replace the store with `folder`, and return the path to which the replaced store was renamed, if any."""
    home, former = store.home, None
    with ExitStack() as stack:
        if home.exists():
            stack.enter_context(hold_locks(home, MAINTENANCE, REGISTRY, CREATION))
            _check_unused(store)
            former = home.with_name(f"{home.name}{BEFORE_RESTORE}{datetime.now():%Y%m%d-%H%M%S-%f}")
            home.rename(former)
        try:
            folder.rename(home)
        except BaseException:
            if former:
                former.rename(home)
            raise
        sync_to_disk(home.parent)
    return former


def _check_unused(store: LocalStore) -> None:
    """Refuse to replace a store while a run is active: the run would keep writing to the replaced store."""
    if not store.exists:
        return
    try:
        with connect(store.database) as connection:
            active = [(run_id, owner) for run_id, owner in _running_runs(connection).items() if not is_gone(*owner)]
    except sqlite3.DatabaseError:  # restoring is how a broken database is repaired
        return
    for run_id, (host, pid, _) in active:
        process = f"process {pid} of {host}" if pid else "an unknown process"
        raise StoreError(
            f"run {run_id} in {store.home} is RUNNING, by {process}",
            f"wait until it ends; if the process has ended: mv {store.home} {store.home}.old, then restore again",
        )


def _running_runs(connection: sqlite3.Connection) -> dict[str, tuple[str, str, str]]:
    """Return the host, process ID and start time of each RUNNING run; empty strings where unknown.

    MLflow is not used here: it would upgrade the database of an older version, and cannot open a broken one.
    """
    query = """select run_uuid,
        max(case key when 'host' then value else '' end), max(case key when 'pid' then value else '' end),
        max(case key when 'process_started' then value else '' end)
        from runs left join tags using (run_uuid)
        where status = 'RUNNING' and lifecycle_stage = 'active' group by run_uuid"""
    return {run_id: (host or "", pid or "", start or "") for run_id, host, pid, start in connection.execute(query)}


def _check_own_folder(home: Path) -> None:
    """Refuse a store whose folder contains other files, which would be renamed with it, or cannot be renamed."""
    others = [name for name in PROJECT_FILES if (home / name).exists()]
    if others or home == Path.home() or home.parent == home:
        contents = f"contains {', '.join(others)}" if others else "is a home or root folder"
        raise StoreError(
            f"the store's folder {home} is not only a store (it {contents})",
            "restore to a separate folder: MLFLOW_TRACKING_URI=sqlite:////PATH/mlruns/mlflow.db",
        )
    if home.is_mount() or home.is_symlink():
        raise StoreError(
            f"the store's folder {home} cannot be replaced: it is a {'link' if home.is_symlink() else 'mount point'}",
            f"restore beside it: MLFLOW_TRACKING_URI=sqlite:///{home.resolve() / 'restored' / 'mlflow.db'}",
        )
