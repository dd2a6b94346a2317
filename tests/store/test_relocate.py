"""Relocation of a store whose files are not where its database says."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from pipeline.errors import StoreError
from pipeline.store import database, locks
from pipeline.store.database import LocalStore
from pipeline.store.maintenance.relocate import relocate
from pipeline.store.open import open_experiment, open_store
from support.stores import check_intact, execute, file_hashes, predict, query


@pytest.mark.parametrize("change", ["moved", "copied"])
def test_moved_store_is_detected_and_relocated(
    change: str,
    store: LocalStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, folder = predict(), tmp_path / "new ü 50% 'x'" / "repository"
    folder.parent.mkdir()
    if change == "moved":
        store.home.parent.rename(folder)
    else:
        shutil.copytree(store.home.parent, folder)
    old = file_hashes(store.home)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    moved = LocalStore(folder / "mlruns" / "mlflow.db")
    for command in (["model_register"], ["model_train"], ["store", "prune"], ["store", "backup"]):
        assert call(*command) == 2
        assert "python src/store.py relocate" in capsys.readouterr().err
    assert call("store", "status") == 0
    assert "python src/store.py relocate" in capsys.readouterr().out
    assert call("store", "relocate") == 0
    assert "mlflow.db.before-relocate-" in capsys.readouterr().out
    check_intact(moved)
    assert predict() == before
    client = open_store()
    run = client.search_runs([open_experiment(client, "small")], "tags.stage = 'production_candidate'")[0]
    assert "residuals.png" in [item.path for item in client.list_artifacts(run.info.run_id)]
    with mlflow.start_run(experiment_id=run.info.experiment_id) as started:
        mlflow.log_text("x", "x.txt")
    assert (moved.home / "small" / started.info.run_id / "artifacts" / "x.txt").exists()
    assert file_hashes(store.home) == old
    assert call("store", "relocate") == 0
    assert "nothing to relocate" in capsys.readouterr().out
    assert len(list(moved.home.glob("*.before-relocate-*"))) == 1


def test_external_artifact_location_is_not_a_move(store: LocalStore, tmp_path: Path) -> None:
    client = open_store()
    for name, location in (("files", (tmp_path / "elsewhere" / "small").as_uri()), ("bucket", "s3://bucket/small")):
        client.create_experiment(name, artifact_location=location)
    with mlflow.start_run(experiment_id=client.get_experiment_by_name("files").experiment_id):  # type: ignore[union-attr]
        mlflow.log_text("x", "x.txt")
    open_experiment(open_store(), "files")
    assert relocate(store).n_locations == 0
    locations = query(
        store, "select artifact_location from experiments where name in ('files', 'bucket') order by name"
    )
    assert locations == [("s3://bucket/small",), ((tmp_path / "elsewhere" / "small").as_uri(),)]


def test_moved_store_without_files_is_relocated_by_path(store: LocalStore, tmp_path: Path) -> None:
    execute(store, "update experiments set artifact_location = '/gone/mlruns/small' where name = 'small'")
    shutil.rmtree(store.home / "small")
    with pytest.raises(StoreError, match="relocate --from /gone/mlruns"):
        open_experiment(open_store(), "small")
    assert relocate(store, Path("/gone/mlruns")).n_locations == 1
    open_experiment(open_store(), "small")
    assert query(store, "select artifact_location from experiments where name = 'small'") == [(f"{store.home}/small",)]


@pytest.mark.parametrize("lock", ["file", "database"])
def test_relocate_is_refused_during_another_write(
    lock: str, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    for module in (locks, database):
        monkeypatch.setattr(module, "LOCK_TIMEOUT", 0.1)
    execute(store, "update experiments set artifact_location = '/gone/mlruns/small' where name = 'small'")
    before = query(store, "select * from experiments")
    held = FileLock(store.home / "registry.lock")
    with closing(sqlite3.connect(store.database, isolation_level=None)) as other:
        if lock == "file":
            held.acquire()
        else:
            other.execute("begin immediate")
        with pytest.raises(StoreError, match=r"a registration is running|another process is writing"):
            relocate(store, Path("/gone/mlruns"))
        held.release()
    assert query(store, "select * from experiments") == before
