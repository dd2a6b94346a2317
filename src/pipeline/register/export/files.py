"""Check the files of an export against its metadata.json, without MLflow and without loading any of them."""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import PipelineError
from pipeline.store.logged_model import PYCACHE
from pipeline.support.files import read_json, sha256

METADATA = "metadata.json"
EXPORT_COMMAND = "python src/model_register.py --stage Production"


def read_metadata(export: Path) -> dict[str, Any]:
    """Return the content of an export's metadata.json.

    Raises
    ------
    PipelineError
        If metadata.json is missing, not a regular file, not valid, or lacks a key that the checks need.
    """
    path = export / METADATA
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise PipelineError(f"{path} is not a regular file", f"export again: {EXPORT_COMMAND}")
    metadata = read_json(path, EXPORT_COMMAND, "name", "version", "run_id", "model_id", "files")
    if not isinstance(metadata["files"], dict) or not metadata["files"]:
        raise PipelineError(f"{path} lists no files", f"export again: {EXPORT_COMMAND}")
    return metadata


def export_problems(export: Path) -> list[str]:
    """Return the problems of an export's files, compared with its own metadata.json.

    This detects damage, not tampering: whoever can change a file can also change metadata.json, whose SHA-256 is in
    the registry.

    Parameters
    ----------
    export : Path
        The folder, or a link to it such as ``latest``. Links inside the folder are not followed and count as damage.

    Returns
    -------
    list of str
        Empty if every file is the exported one, none is missing, and there are no others.
    """
    try:
        hashes = read_metadata(export)["files"]
    except (PipelineError, OSError) as error:
        return [error.problem if isinstance(error, PipelineError) else f"{export / METADATA}: {error.strerror}"]
    present = _list_files(export)
    problems = []
    for name, digest in sorted(hashes.items()):
        if not _is_inside(name):
            problems.append(f"{METADATA} lists {name!r}, which is outside the export")
        elif name not in present:
            problems.append(f"{name} is missing")
        elif not _is_regular_file(export / name):
            problems.append(f"{name} is not a regular file")
        elif not (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
            problems.append(f"{METADATA} has no SHA-256 for {name}")
        elif sha256(export / name) != digest:
            problems.append(f"{name} is not the file that was exported (SHA-256 differs)")
    return problems + _unexpected_files(present - set(hashes) - {METADATA})


def _list_files(export: Path) -> set[str]:
    """Return the relative paths of all files and links in a folder."""
    present = set()
    for folder, folders, files in os.walk(export):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        present |= {(Path(folder) / name).relative_to(export).as_posix() for name in [*files, *links]}
    return present


def _unexpected_files(names: set[str]) -> list[str]:
    """Return a problem for each unexpected file, and one with its cause for each folder of compiled Python."""
    compiled = sorted({name.partition(PYCACHE)[0] + PYCACHE for name in names if PYCACHE in name.split("/")})
    others = sorted(name for name in names if PYCACHE not in name.split("/"))
    cause = "Python writes it when a model is loaded from here without PYTHONDONTWRITEBYTECODE=1; remove it"
    return [f"{name} was not exported" for name in others] + [f"{name} was not exported: {cause}" for name in compiled]


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and path.as_posix() == name


def _is_regular_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
