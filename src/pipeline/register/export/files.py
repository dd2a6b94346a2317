"""The files of an export, held against its own metadata.json: without MLflow, and without loading any of them."""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import PipelineError
from pipeline.store.logged_model import COMPILED
from pipeline.support.files import read_json, sha256

METADATA = "metadata.json"
EXPORT_AGAIN = "python src/model_register.py --stage Production"


def read_metadata(export: Path) -> dict[str, Any]:
    """Read what an export says of itself.

    Raises
    ------
    PipelineError
        When metadata.json is missing, a link, broken, or lacks what the checks need.
    """
    path = export / METADATA
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise PipelineError(f"{path} is a link, or no file", f"export again: {EXPORT_AGAIN}")
    metadata = read_json(path, EXPORT_AGAIN, "name", "version", "run_id", "model_id", "files")
    if not isinstance(metadata["files"], dict) or not metadata["files"]:
        raise PipelineError(f"{path} names no files", f"export again: {EXPORT_AGAIN}")
    return metadata


def damages(export: Path) -> list[str]:
    """Return what is wrong with the files of an export, by its own metadata.json.

    It tells damage, not malice: who can change a file can change metadata.json too, whose SHA-256 the registry has.

    Parameters
    ----------
    export : Path
        The folder, or a link to it such as ``latest``. Links within it are not followed, they are damage.

    Returns
    -------
    list of str
        Empty when every file is the one that was exported, none is missing, and there is no other.
    """
    try:
        listed = read_metadata(export)["files"]
    except (PipelineError, OSError) as error:
        return [error.problem if isinstance(error, PipelineError) else f"{export / METADATA}: {error.strerror}"]
    found = _found(export)
    wrong = []
    for name, digest in sorted(listed.items()):
        if not _stays_within(name):
            wrong.append(f"{METADATA} names {name!r}, which is not within the export")
        elif name not in found:
            wrong.append(f"{name} is missing")
        elif not _is_file(export / name):
            wrong.append(f"{name} is a link, or no file")
        elif not (isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)):
            wrong.append(f"{METADATA} has no SHA-256 of {name}")
        elif sha256(export / name) != digest:
            wrong.append(f"{name} is not the file that was exported (SHA-256 differs)")
    return wrong + _extra(found - set(listed) - {METADATA})


def _found(export: Path) -> set[str]:
    """Return all files and links below a folder, by their names from there."""
    found = set()
    for folder, folders, files in os.walk(export):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        found |= {(Path(folder) / name).relative_to(export).as_posix() for name in [*files, *links]}
    return found


def _extra(names: set[str]) -> list[str]:
    """Say which files do not belong there, and of compiled Python, which takes the place of its source, where from."""
    compiled = sorted({name.partition(COMPILED)[0] + COMPILED for name in names if COMPILED in name.split("/")})
    others = sorted(name for name in names if COMPILED not in name.split("/"))
    why = "Python writes it when a model is loaded from here, unless PYTHONDONTWRITEBYTECODE=1; remove it"
    return [f"{name} was not exported" for name in others] + [f"{name} was not exported: {why}" for name in compiled]


def _stays_within(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and path.as_posix() == name


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
