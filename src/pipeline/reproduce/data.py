"""The table that a version was trained on, found by its SHA-256."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.reproduce.original import OriginalTraining
from pipeline.support.files import sha256


@dataclass(frozen=True)
class LocatedTable:
    """A table: the path for the clone's params.yaml, and where it was found."""

    path: str
    where: str


def find_data(original: OriginalTraining, repository: Path, clone: Path) -> LocatedTable:
    """Find the table of a run and put it where the clone's params.yaml says, if that is within the clone.

    It is looked for in the commit, at its path in the pipeline folder, and in DVC's cache and remote.

    Parameters
    ----------
    original : OriginalTraining
    repository : Path
        The top of the git repository.
    clone : Path
        Of the repository.

    Raises
    ------
    PipelineError
        When the table is nowhere.
    """
    named, place = str(original.params["dataset"]["path"]), original.pipeline_folder
    source = Path(os.path.normpath(repository / place / named))
    target = None if Path(named).is_absolute() else (clone / place / named).resolve()
    if target and not target.is_relative_to(clone):
        target = None
    if target and _is(target, original):
        return LocatedTable(named, "it is in the commit")
    if _is(source, original):
        return LocatedTable(_put(source, target, named), "it is where it was")
    fetched, refused = _from_dvc(repository, source, original.commit, clone.parent / "fetched" / source.name)
    if _is(fetched, original):
        return LocatedTable(_put(fetched, target, named), "DVC has it")
    now = f"{source} is another file now" if source.exists() else f"{source} does not exist"
    raise PipelineError(
        f"the table that it was trained on, {named} with SHA-256 {original.data_sha256}, is no longer there: {now}, "
        f"the commit does not hold it, and DVC neither{refused}",
        f"put the file of that SHA-256 back to {source}, from a backup or with dvc pull, and run this again",
    )


def _is(path: Path, original: OriginalTraining) -> bool:
    return path.is_file() and sha256(path) == original.data_sha256


def _put(found: Path, target: Path | None, named: str) -> str:
    """Put a file where the params expect it, without copying where that can be helped; return the path for them."""
    if target is None:
        return str(found)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(found, target)
    except OSError:  # of another file system, or another's
        shutil.copyfile(found, target)
    return named


def _from_dvc(repository: Path, source: Path, commit: str, target: Path) -> tuple[Path, str]:
    """Get a file as DVC tracked it at a commit, from its cache or remote; or return why not."""
    if not (repository / ".dvc").is_dir() or not source.is_relative_to(repository):
        return target, ""
    target.parent.mkdir()
    name = source.relative_to(repository).as_posix()
    command = [sys.executable, "-m", "dvc", "get", "--quiet", "--rev", commit, "--out", str(target), "--"]
    done = subprocess.run([*command, str(repository), name], capture_output=True, text=True, check=False)
    lines = done.stderr.strip().splitlines() if done.returncode else []
    return target, f" ({lines[0].removeprefix('ERROR: ')})" if lines else ""
