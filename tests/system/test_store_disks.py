"""Commands on the whole store, on a full and on a read-only disk."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.store.database import LocalStore
from pipeline.store.maintenance.backup import backup
from pipeline.store.open import open_store
from support.stores import (
    enter_copied_folder,
    execute,
    file_hashes,
    has_no_temporary_files,
    predict,
    query,
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that is a separate disk of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def store_on_disk(registered: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """Return a store like the fixture `store`, on the small disk."""
    shutil.copytree(registered, disk / "repository", symlinks=True)
    return enter_copied_folder(disk / "repository", monkeypatch)


def check_refused(call: Callable[..., int], capsys: pytest.CaptureFixture[str], *command: str) -> None:
    """Check that a script fails with one clear error."""
    assert call(*command) == 2, command
    error = capsys.readouterr().err
    assert "error: " in error
    assert "Traceback" not in error


def fill(disk: Path, free: int) -> None:
    """Fill a disk except for some free bytes."""
    with (disk / "fill").open("wb") as file:
        file.write(b"\0" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - free))


def test_full_disk_raises_a_clear_error_and_corrupts_nothing(
    store_on_disk: LocalStore, disk: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_on_disk
    backup(store, Path("backup.tar"))
    for free, command in (
        (0, ["prepare"]),
        (0, ["model_train"]),
        (40_000, ["model_train"]),
        (500_000, ["model_train"]),
        (0, ["model_register", "--stage", "Production"]),
        (0, ["store", "backup"]),
        (500_000, ["store", "backup"]),
        (500_000, ["store", "restore", "backup.tar"]),
        (0, ["store", "relocate"]),
    ):
        before = {
            path: digest for path, digest in file_hashes(disk).items() if path.startswith("repository/mlruns/small")
        }
        if command[-1] == "relocate":
            execute(store, "update experiments set artifact_location = '/gone/small' where name = 'small'")
        fill(disk, free)
        check_refused(call, capsys, *command)
        (disk / "fill").unlink()
        assert query(store, "pragma integrity_check") == [("ok",)]
        assert before.items() <= file_hashes(disk).items()
        assert has_no_temporary_files(store)
    assert call("store", "relocate") == 0
    open_store()
    call("store", "prune", "--no-dry-run", "--older-than", "0h")
    assert query(store, "select count(*) from model_versions") == [(1,)]
    assert len(predict()) == 5


def test_read_only_disk_raises_a_clear_error(
    store_on_disk: LocalStore,
    disk: Path,
    tmp_path: Path,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    backup(store_on_disk, tmp_path / "backup.tar")
    before = file_hashes(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for command in (
        ["prepare"],
        ["model_train"],
        ["model_register", "--stage", "Production"],
        ["store", "relocate", "--from", "/x"],
        ["store", "prune", "--no-dry-run"],
        ["store", "restore", str(tmp_path / "backup.tar")],
        ["store", "backup"],
    ):
        check_refused(call, capsys, *command)
    for command in (["store", "status"], ["store", "prune"], ["store", "backup", "--to", str(tmp_path / "other.tar")]):
        assert call(*command) == 0, (command, capsys.readouterr().err)
    assert file_hashes(disk) == before
