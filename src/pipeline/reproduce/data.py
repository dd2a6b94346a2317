"""Find the training data of a version by its SHA-256."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError, TableError
from pipeline.reproduce.original import OriginalTraining
from pipeline.tables.download import download, is_url
from pipeline.tables.files import table_sha256


@dataclass(frozen=True)
class LocatedTable:
    """A table that was found: its path for the clone's params.yaml, and its origin."""

    path: str
    origin: str


def find_data(original: OriginalTraining, repository: Path, clone: Path) -> LocatedTable:
    """Find the table of a run, and put it at its path in the clone, if that path is inside the clone.

    It is searched for in the commit, at its path in the pipeline folder, and in DVC's cache and remote.

    Parameters
    ----------
    original : OriginalTraining
    repository : Path
        The top of the git repository.
    clone : Path
        The clone of the repository.

    Raises
    ------
    PipelineError
        If the table is not found.
    """
    path, pipeline_folder = str(original.params["dataset"]["path"]), original.pipeline_folder
    if is_url(path):
        copy = download(path, repository / pipeline_folder, clone.parent / "fetched")
        if _has_same_hash(copy, original):
            return LocatedTable(str(copy), f"copied from {path}")
        raise PipelineError(
            f"{path} is not the training data with SHA-256 {original.data_sha256} any more",
            "restore it there, and run this again",
        )
    source = Path(os.path.normpath(repository / pipeline_folder / path))
    target = None if Path(path).is_absolute() else (clone / pipeline_folder / path).resolve()
    if target and not target.is_relative_to(clone):
        target = None
    if target and _has_same_hash(target, original):
        return LocatedTable(path, "found in the commit")
    if _has_same_hash(source, original):
        return LocatedTable(_put(source, target, path), "found at its original path")
    fetched, dvc_error = _get_from_dvc(repository, source, original.commit, clone.parent / "fetched" / source.name)
    if _has_same_hash(fetched, original):
        return LocatedTable(_put(fetched, target, path), "fetched from DVC")
    problem = f"{source} is another file now" if source.exists() else f"{source} does not exist"
    raise PipelineError(
        f"the training data {path} with SHA-256 {original.data_sha256} is not available: {problem}, "
        f"and neither the commit nor DVC has it{dvc_error}",
        f"restore the file with that SHA-256 to {source}, from a backup or with dvc pull, and run this again",
    )


def _has_same_hash(path: Path, original: OriginalTraining) -> bool:
    try:
        return table_sha256(path) == original.data_sha256
    except TableError:
        return False


def _put(found: Path, target: Path | None, path: str) -> str:
    """Link or copy a file to `target`, and return the path for the parameters; a table of several files stays."""
    if target is None or not found.is_file():
        return str(found)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(found, target)
    except OSError:  # on another file system, or owned by another user
        shutil.copyfile(found, target)
    return path


def _get_from_dvc(repository: Path, source: Path, commit: str, target: Path) -> tuple[Path, str]:
    """Get a file as DVC tracked it at a commit, from its cache or remote; return its path, and DVC's error if any."""
    if not (repository / ".dvc").is_dir() or not source.is_relative_to(repository):
        return target, ""
    target.parent.mkdir()
    name = source.relative_to(repository).as_posix()
    command = [sys.executable, "-m", "dvc", "get", "--quiet", "--rev", commit, "--out", str(target), "--"]
    result = subprocess.run([*command, str(repository), name], capture_output=True, text=True, check=False)
    lines = result.stderr.strip().splitlines() if result.returncode else []
    return target, f" ({lines[0].removeprefix('ERROR: ')})" if lines else ""
