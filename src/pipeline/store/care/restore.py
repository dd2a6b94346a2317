"""A backup takes the store's place: all of it is checked first, and the store that was there is kept."""

import os
import shutil
import sqlite3
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.care.archive import DATABASE, Manifest, unpack
from pipeline.store.care.backup import check_integrity
from pipeline.store.care.relocate import rewrite
from pipeline.store.care.versions import damages
from pipeline.store.create import BEFORE_RESTORE, sweep
from pipeline.store.database import LocalStore, connect, writing
from pipeline.store.locks import CARE, CREATION, REGISTRY, held
from pipeline.support.files import beside, to_disk
from pipeline.support.processes import is_gone

NOT_A_STORE = (".git", ".dvc", "dvc.yaml", "params.yaml", "src")


@dataclass(frozen=True)
class Restored:
    """What a restore did.

    Attributes
    ----------
    manifest : Manifest
        Of the backup.
    former : Path, optional
        Where the store is now that was there.
    """

    manifest: Manifest
    former: Path | None


def restore(store: LocalStore, archive: Path) -> Restored:
    """Put a backup into the store's place.

    It is extracted beside, checked and told its new place there. Only two renames are then left: the store that is
    there becomes ``….before-restore-…``, and the new one takes its name. A process that is killed between them leaves
    the former under that name, and the next command says so.

    Returns
    -------
    Restored

    Raises
    ------
    StoreError
        When the backup is not whole, or the store is in use; nothing is changed then.
    """
    home = store.home
    _check_own_folder(home)
    home.parent.mkdir(parents=True, exist_ok=True)
    sweep(store)
    made = beside(home)
    made.mkdir()
    try:
        manifest = unpack(archive, made)
        with closing(sqlite3.connect(made / DATABASE)) as connection:
            check_integrity(connection, archive)
            wrong = set(damages(connection, Path(manifest.home), made)) - set(manifest.damaged)
        if wrong:
            raise StoreError(f"{archive} is damaged: {sorted(wrong)[0]}", "take another one; the store is as it was")
        with writing(made / DATABASE) as connection:
            rewrite(connection, Path(manifest.home), home)
        (made / DATABASE).rename(made / store.database.name)
        os.sync()  # all of it is on the disk before anything is replaced
        former = _swap(store, made)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Restored(manifest, former)


def _swap(store: LocalStore, made: Path) -> Path | None:
    home, former = store.home, None
    with ExitStack() as stack:
        if home.exists():
            stack.enter_context(held(home, CARE, REGISTRY, CREATION))
            _check_unused(store)
            former = home.with_name(f"{home.name}{BEFORE_RESTORE}{datetime.now():%Y%m%d-%H%M%S-%f}")
            home.rename(former)
        try:
            made.rename(home)
        except BaseException:
            if former:
                former.rename(home)
            raise
        to_disk(home.parent)
    return former


def _check_unused(store: LocalStore) -> None:
    """Refuse while a run goes on: what it still writes would be lost with the former store."""
    if not store.exists:
        return
    try:
        with connect(store.database) as connection:
            active = [(run_id, owner) for run_id, owner in _running(connection).items() if not is_gone(*owner)]
    except sqlite3.DatabaseError:  # broken, which is why another one takes its place
        return
    for run_id, (host, pid, _) in active:
        whose = f"process {pid} of {host}" if pid else "a process that did not say which"
        raise StoreError(
            f"run {run_id} in {store.home} is RUNNING, by {whose}",
            f"wait until it ends; if that process is gone: mv {store.home} {store.home}.old, and restore again",
        )


def _running(connection: sqlite3.Connection) -> dict[str, tuple[str, str, str]]:
    """Return the RUNNING runs with host, process id and start time, as far as they are known.

    Not by MLflow, which would upgrade a store of an older one, and cannot open a broken one.
    """
    query = """select run_uuid,
        max(case key when 'host' then value else '' end), max(case key when 'pid' then value else '' end),
        max(case key when 'process_started' then value else '' end)
        from runs left join tags using (run_uuid)
        where status = 'RUNNING' and lifecycle_stage = 'active' group by run_uuid"""
    return {run_id: (host or "", pid or "", start or "") for run_id, host, pid, start in connection.execute(query)}


def _check_own_folder(home: Path) -> None:
    """Refuse a store that shares its folder with other things, which would be renamed with it."""
    others = [name for name in NOT_A_STORE if (home / name).exists()]
    if others or home == Path.home() or home.parent == home:
        raise StoreError(
            f"the store's folder {home} holds other things ({', '.join(others) or 'a home or the root'})",
            "restore to a folder of its own: MLFLOW_TRACKING_URI=sqlite:////PATH/mlruns/mlflow.db",
        )
    if home.is_mount() or home.is_symlink():
        raise StoreError(
            f"the store's folder {home} cannot be replaced: it is a {'link' if home.is_symlink() else 'mount point'}",
            f"restore beside it: MLFLOW_TRACKING_URI=sqlite:///{home.resolve() / 'restored' / 'mlflow.db'}",
        )
