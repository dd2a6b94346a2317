"""File hashes, and atomic writes of files, folders and links that survive a kill at any moment."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.support.processes import is_owner_gone, owner

TEMPORARY_SUFFIX = ".tmp"  # of unfinished files, after the process that writes them


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file or, for a folder, of the names and SHA-256 sums of its files; 64 digits."""
    if path.is_dir():
        return sha256_of_files(sorted(path.iterdir()))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(files: Sequence[Path]) -> str:
    """Return the SHA-256 of the names and SHA-256 sums of files."""
    return hashlib.sha256("".join(f"{sha256(file)}  {file.name}\n" for file in files).encode()).hexdigest()


def temporary_path(path: Path) -> Path:
    """Return the path in the same folder where this process writes `path` before renaming it."""
    return path.with_name(f".{path.name}.{owner()}{TEMPORARY_SUFFIX}")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file atomically: yield a temporary path in the same folder, and rename it to `path` on success.

    The content is on disk before the rename. If the block raises, the temporary file is removed and `path` is
    unchanged. `remove_unfinished_files` removes what a killed process leaves behind.
    """
    temporary = temporary_path(path)
    with _parents(path):
        try:
            yield temporary
            temporary.chmod(0o644)
            sync_to_disk(temporary)
            if path.is_dir() and not path.is_symlink():
                _replace(path, temporary)
            else:
                temporary.replace(path)
            sync_to_disk(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Write a folder: yield an empty temporary folder beside `path`, and rename it to `path` on success.

    The content is on disk before the rename. A folder cannot replace another in one step: an existing `path` is
    renamed first, so for an instant there is none.
    """
    temporary = temporary_path(path)
    with _parents(path):
        temporary.mkdir()
        try:
            yield temporary
            for folder, _, files in os.walk(temporary):
                for name in files:
                    sync_to_disk(Path(folder) / name)
                sync_to_disk(Path(folder))
            _replace(path, temporary)
            sync_to_disk(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _parents(path: Path) -> Iterator[None]:
    """Create the folders above `path`; remove them again if the block raises."""
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # another process may have written there
                folder.rmdir()
        raise


def _replace(path: Path, temporary: Path) -> None:
    """Rename a file or folder to `path`, where one of them is a folder."""
    previous = temporary_path(path.with_name(f"{path.name}.replaced"))
    if path.exists():
        path.rename(previous)
    temporary.rename(path)
    if previous.is_dir() and not previous.is_symlink():
        shutil.rmtree(previous, ignore_errors=True)
    else:
        previous.unlink(missing_ok=True)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` where the block may create a folder; it is removed afterwards.

    `remove_unfinished_files` removes what a killed process leaves behind.
    """
    temporary = temporary_path(path)
    with _parents(path):
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def replace_link(link: Path, target: str) -> None:
    """Point the symbolic link `link` to `target`, atomically."""
    temporary = temporary_path(link)
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
    sync_to_disk(link.parent)


def remove_unfinished_files(*folders: Path) -> list[Path]:
    """Remove the unfinished files and folders in `folders` whose process has ended, and return their paths."""
    removed = []
    for folder in folders:
        for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
            if "~" in path.name and is_owner_gone(_owner_of(path)):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
                removed.append(path)
    return removed


def _owner_of(path: Path) -> str:
    """Return the owner from an unfinished file's name ``.NAME.HOST~PID~STARTED.tmp``; "" if it is another host's."""
    prefix, pid, started = path.name.removesuffix(TEMPORARY_SUFFIX).rsplit("~", 2)
    host = owner().split("~")[0]  # host names contain dots, so the name cannot be split at them
    return f"{host}~{pid}~{started}" if prefix.endswith(f".{host}") else ""


def sync_to_disk(path: Path) -> None:
    """Flush a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, command: str, *keys: str) -> dict[str, Any]:
    """Return the JSON object in a file that a stage wrote.

    Parameters
    ----------
    path : Path
    command : str
        The command that writes the file, for the error message.
    *keys : str
        The keys that the object must have.

    Raises
    ------
    PipelineError
        If the file is missing, is not valid JSON or lacks one of `keys`.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist", f"create it with: {command}") from None
    except ValueError as error:
        raise PipelineError(f"{path} is not valid JSON ({error})", f"recreate it with: {command}") from None
    if not isinstance(value, dict) or not value.keys() >= set(keys):
        raise PipelineError(f"{path} lacks one of the keys {', '.join(keys)}", f"recreate it with: {command}")
    return value
