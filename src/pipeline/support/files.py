"""Hashes, and files and folders that appear whole or not at all, whatever kills the process that writes them."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.support.processes import is_owner_gone, owner

BESIDE = ".tmp"  # how names end of what is not finished; before it stands whose it is


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def beside(path: Path) -> Path:
    """Return the place beside `path` where this process writes it before it is renamed."""
    return path.with_name(f".{path.name}.{owner()}{BESIDE}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write a file to; on success it is on the disk, and takes the place of `path`.

    When the block raises, the file beside is removed and `path` is as it was. What a killed process leaves there,
    `sweep_files` removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    written = beside(path)
    try:
        yield written
        written.chmod(0o644)
        to_disk(written)
        written.replace(path)
        to_disk(path.parent)
    finally:
        written.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path` to fill; on success it is on the disk, and takes the place of `path`.

    A folder cannot replace another in one step: one that is there is moved aside first, for an instant.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    written, replaced = beside(path), beside(path.with_name(f"{path.name}.replaced"))
    written.mkdir()
    try:
        yield written
        for folder, _, files in os.walk(written):
            for name in files:
                to_disk(Path(folder) / name)
            to_disk(Path(folder))
        if path.exists():
            path.rename(replaced)
        written.rename(path)
        to_disk(path.parent)
    finally:
        shutil.rmtree(written, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def replace_link(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`, in one step."""
    made = beside(link)
    made.unlink(missing_ok=True)
    made.symlink_to(target)
    made.replace(link)
    to_disk(link.parent)


def sweep_files(*folders: Path) -> list[Path]:
    """Remove the unfinished files and folders in `folders` whose process is gone, and return them."""
    swept = []
    for folder in folders:
        for path in folder.glob(f".*{BESIDE}"):
            if "~" in path.name and is_owner_gone(_owner_of(path)):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
                swept.append(path)
    return swept


def _owner_of(path: Path) -> str:
    """Return the owner in the name of an unfinished file, ``.NAME.HOST~PID~STARTED.tmp``; a host may have dots."""
    before, pid, started = path.name.removesuffix(BESIDE).rsplit("~", 2)
    host = owner().split("~")[0]
    return f"{host}~{pid}~{started}" if before.endswith(f".{host}") else ""


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with replacing(path) as written:
        written.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, written_by: str, *keys: str) -> dict[str, Any]:
    """Read a JSON object that a stage wrote.

    Raises
    ------
    PipelineError
        When the file is missing, broken or lacks one of `keys`; `written_by` is the command that writes it.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist", f"write it with: {written_by}") from None
    except ValueError as error:
        raise PipelineError(f"{path} is not valid JSON ({error})", f"write it anew with: {written_by}") from None
    if not isinstance(value, dict) or not value.keys() >= set(keys):
        raise PipelineError(f"{path} does not hold {', '.join(keys)}", f"write it anew with: {written_by}")
    return value
