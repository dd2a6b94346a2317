"""Commands on the whole store that are killed at random moments."""

import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.store.database import LocalStore, local_path
from pipeline.store.maintenance.backup import backup
from pipeline.store.maintenance.restore import restore
from pipeline.store.open import open_store
from support.effort import times
from support.stores import check_intact, has_no_temporary_files, predict, query, remaining
from support.zygote import Zygote


def kill_at_random(zygote: Zygote, rng: random.Random, longest: float, *command: str) -> bool:
    """Start a script, kill it at a random moment and return whether it was still running."""
    script = zygote.start(Path.cwd(), *command)
    time.sleep(rng.random() * longest)
    script.kill()
    code, output = zygote.wait(script)
    assert code in (0, -signal.SIGKILL), output
    return code != 0


def test_relocate_survives_kills(
    store: LocalStore, zygote: Zygote, monkeypatch: pytest.MonkeyPatch, told: Callable[[str], None]
) -> None:
    folder = store.home.parent.with_name("moved")
    old, survived, rng = store.home, 0, random.Random(0)
    store.home.parent.rename(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    moved = LocalStore(folder / "mlruns" / "mlflow.db")
    for _ in range(times(20, 6)):
        survived += kill_at_random(zygote, rng, 0.15, "store", "relocate")
        locations = [str(local_path(str(location))) for (location,) in query(moved, "select artifact_uri from runs")]
        n_old = sum(location.startswith(f"{old}/") for location in locations)
        assert n_old in (0, len(locations))
        if not n_old:
            with closing(sqlite3.connect(moved.database)) as connection, connection:
                connection.execute("update runs set artifact_uri = replace(artifact_uri, '/moved/', '/repository/')")
                connection.execute(
                    "update experiments set artifact_location = replace(artifact_location, '/moved/', '/repository/')"
                )
    zygote.run(folder, "store", "relocate")
    check_intact(moved)
    assert has_no_temporary_files(moved)
    told(f"store relocate: {survived} kills survived")
    assert survived >= times(5, 1)


def test_prune_survives_kills(
    store: LocalStore, old_runs: dict[str, str], zygote: Zygote, told: Callable[[str], None]
) -> None:
    rng, survived = random.Random(1), 0
    for _ in range(times(4, 2)):
        survived += kill_at_random(zygote, rng, 1.5, "store", "prune", "--no-dry-run")
        assert query(store, "pragma integrity_check") == [("ok",)]
        assert {"young", "running", "foreign", "winner", "experiment 0"} <= remaining(store, old_runs)
    zygote.run(Path.cwd(), "store", "prune", "--no-dry-run")
    assert remaining(store, old_runs) == {"young", "running", "foreign", "winner", "experiment 0"}
    assert len(predict()) == 5
    told(f"store prune: {survived} kills survived")


def test_restore_survives_kills(
    store: LocalStore,
    zygote: Zygote,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    told: Callable[[str], None],
) -> None:
    backup(store, Path("backup.tar"))
    rng, survived, n_between = random.Random(2), 0, 0
    longest = 1.2 * zygote.run(Path.cwd(), "store", "restore", "backup.tar")
    for _ in range(times(15, 5)):
        survived += kill_at_random(zygote, rng, longest, "store", "restore", "backup.tar")
        if not store.home.exists():
            n_between += 1
            assert call("store", "prune") == 2
            assert "run the restore again, or bring the former store back: mv" in capsys.readouterr().err
            sorted(store.home.parent.glob("mlruns.before-restore-*"))[-1].rename(store.home)
        assert query(store, "pragma integrity_check") == [("ok",)]
        assert query(store, "select count(*) from runs") == [(15,)]
        for former in store.home.parent.glob("mlruns.before-restore-*"):
            shutil.rmtree(former)
    zygote.run(Path.cwd(), "store", "restore", "backup.tar")
    check_intact(store)
    assert has_no_temporary_files(store)
    assert len(predict()) == 5
    told(f"store restore: {survived} kills survived, {n_between} of them between the renames")
    assert survived >= times(5, 1)


def test_backup_survives_kills(store: LocalStore, zygote: Zygote, told: Callable[[str], None]) -> None:
    rng, survived = random.Random(3), 0
    for _ in range(times(8, 3)):
        survived += kill_at_random(zygote, rng, 0.2, "store", "backup", "--to", "killed.tar")
        if Path("killed.tar").exists():
            restore(LocalStore(Path("checked").absolute() / "mlflow.db"), Path("killed.tar"))
            shutil.rmtree("checked")
            Path("killed.tar").unlink()
    open_store()
    assert has_no_temporary_files(store)
    told(f"store backup: {survived} kills survived")
