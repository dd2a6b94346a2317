"""Backup and restore of a store."""

import hashlib
import io
import json
import shutil
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.store.database import LocalStore
from pipeline.store.maintenance.backup import backup
from pipeline.store.maintenance.restore import restore
from pipeline.store.open import open_experiment, open_store
from support.stores import (
    check_intact,
    file_hashes,
    has_no_temporary_files,
    predict,
    query,
)


def test_backup_during_writes_restores_to_another_location(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, stop, run_ids = open_store(), threading.Event(), []
    experiment_id = open_experiment(client, "small")

    def write() -> None:
        while not stop.is_set():
            run_id = client.create_run(experiment_id).info.run_id
            client.log_text(run_id, "x" * 100_000, "x.txt")
            client.set_terminated(run_id)
            run_ids.append(run_id)

    writer = threading.Thread(target=write)
    writer.start()
    while len(run_ids) < 3:
        time.sleep(0.01)
    archive = backup(store).path
    n_runs = len(run_ids)
    while len(run_ids) < n_runs + 3:
        time.sleep(0.01)
    stop.set()
    writer.join()
    assert archive.parent == store.home.parent
    other = LocalStore(tmp_path / "other folder" / "mlruns" / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other.database}")
    assert restore(other, archive).former is None
    restored = {str(run_id): status for run_id, status in query(other, "select run_uuid, status from runs")}
    finished = [run_id for run_id in run_ids if restored.get(run_id) == "FINISHED"]
    assert len(finished) >= 3
    assert all((other.home / "small" / run_id / "artifacts" / "x.txt").stat().st_size == 100_000 for run_id in finished)
    later = set(run_ids) - restored.keys()
    assert len(later) >= 3
    assert not [run_id for run_id in later if (other.home / "small" / run_id).exists()]
    check_intact(other)
    assert len(predict()) == 5


def test_restore_keeps_the_previous_store(store: LocalStore, call: Callable[..., int]) -> None:
    assert call("store", "backup", "--to", "kept.tar") == 0
    saved = file_hashes(store.home)
    open_store().create_experiment("later")
    later = file_hashes(store.home)
    assert call("store", "restore", "kept.tar") == 0
    (former,) = store.home.parent.glob("mlruns.before-restore-*")
    assert file_hashes(former) == later
    restored = file_hashes(store.home)
    for hashes in (restored, saved):
        del hashes["mlflow.db"]  # SQLite may write the copy of a database differently
    assert restored == saved
    assert query(store, "select name from experiments where name = 'later'") == []
    check_intact(store)


def damage(archive: Path, kind: str, broken: Path) -> None:
    """Write a damaged copy of an archive."""
    content = archive.read_bytes()
    match kind:
        case "cut off":
            broken.write_bytes(content[: len(content) * 2 // 3])
        case "without its end":
            with tarfile.open(archive) as tar:
                broken.write_bytes(content[: tar.getmember("manifest.json").offset])
        case "one byte":
            with tarfile.open(archive) as tar:
                member = next(member for member in tar if member.name.endswith("model.ubj"))
            middle = member.offset_data + member.size // 2
            broken.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        case "text":
            broken.write_text("this is not an archive\n" * 100)
        case "empty":
            broken.touch()
        case "another tar" | "external link" | "external file":
            with tarfile.open(broken, "w") as tar:
                info = tarfile.TarInfo("manifest.json" if kind == "another tar" else "../evil")
                info.type = tarfile.SYMTYPE if kind == "external link" else tarfile.REGTYPE
                info.linkname, info.size = (
                    "/etc/passwd" if kind == "external link" else "",
                    0 if kind == "external link" else 2,
                )
                tar.addfile(info, io.BytesIO(b"{}"))
        case "another model":  # with a matching manifest
            folder = broken.with_name("unpacked")
            with tarfile.open(archive) as tar:
                tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 and later have it
                tar.extractall(folder)
            manifest = json.loads((folder / "manifest.json").read_text())
            for model in folder.rglob("model.ubj"):
                model.write_bytes(b"x")
                manifest["files"][model.relative_to(folder).as_posix()] = hashlib.sha256(b"x").hexdigest()
            (folder / "manifest.json").write_text(json.dumps(manifest))
            with tarfile.open(broken, "w") as tar:
                for path in sorted(folder.rglob("*")):
                    tar.add(path, path.relative_to(folder), recursive=False)
            shutil.rmtree(folder)


def test_damaged_backup_changes_nothing(
    store: LocalStore, tmp_path: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    archive, before = backup(store, tmp_path / "backup.tar").path, file_hashes(store.home)
    broken = tmp_path / "broken.tar"
    for kind in (
        "cut off",
        "without its end",
        "one byte",
        "text",
        "empty",
        "another tar",
        "external link",
        "external file",
        "another model",
    ):
        broken.unlink(missing_ok=True)
        damage(archive, kind, broken)
        assert call("store", "restore", str(broken)) == 2, kind
        error = capsys.readouterr().err
        assert error.startswith("error: "), error
        assert "the current store was not changed" in error
        assert file_hashes(store.home) == before, kind
        assert [path.name for path in tmp_path.iterdir() if "restore" in path.name] == []
        assert has_no_temporary_files(store)
    assert call("store", "restore", "none.tar") == 2
    assert "none.tar does not exist" in capsys.readouterr().err


def test_restore_is_refused_during_a_run(store: LocalStore, tmp_path: Path) -> None:
    archive = backup(store, tmp_path / "backup.tar").path
    open_store().create_run("1")
    before = file_hashes(store.home)
    with pytest.raises(StoreError, match="is RUNNING"):
        restore(store, archive)
    assert file_hashes(store.home) == before


def test_restore_is_refused_into_a_folder_with_other_files(tmp_path: Path, store: LocalStore) -> None:
    archive = backup(store, tmp_path / "backup.tar").path
    (tmp_path / "project" / "src").mkdir(parents=True)
    with pytest.raises(StoreError, match="is not only a store"):
        restore(LocalStore(tmp_path / "project" / "mlflow.db"), archive)


def test_interrupted_restore_is_reported(
    store: LocalStore, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    backup(store, Path("backup.tar"))
    store.home.rename("mlruns.before-restore-20260101-000000")
    for script in (["model_register"], ["store", "prune"]):
        assert call(*script) == 2
        assert f"mv {store.home}.before-restore-20260101-000000 {store.home}" in capsys.readouterr().err
    assert not store.home.exists() or not store.database.exists()
    shutil.rmtree(store.home, ignore_errors=True)
    assert call("store", "restore", "backup.tar") == 0
    check_intact(store)
