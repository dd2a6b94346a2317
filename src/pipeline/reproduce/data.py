"""The table that a version was trained on, found by its SHA-256."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.reproduce.original import Recorded
from pipeline.support.files import sha256


@dataclass(frozen=True)
class Found:
    """A table: the path for the clone's params.yaml, and where it was found."""

    path: str
    where: str


def find_data(recorded: Recorded, repository: Path, place: str, clone: Path) -> Found:
    """Find the table of a run and put it where the clone's params.yaml says, if that is within the clone.

    It is looked for in the commit, at its path in the pipeline folder, and in DVC's cache and remote.

    Parameters
    ----------
    recorded : Recorded
    repository : Path
        The top of the git repository.
    place : str
        The pipeline folder, from there.
    clone : Path
        Of the repository.

    Raises
    ------
    PipelineError
        When the table is nowhere.
    """
    named = str(recorded.params["dataset"]["path"])
    original = Path(os.path.normpath(repository / place / named))
    target = None if Path(named).is_absolute() else (clone / place / named).resolve()
    if target and not target.is_relative_to(clone):
        target = None
    if target and _is(target, recorded):
        return Found(named, "it is in the commit")
    if _is(original, recorded):
        return Found(_put(original, target, named), "it is where it was")
    fetched, refused = _from_dvc(repository, original, recorded.commit, clone.parent / "fetched" / original.name)
    if _is(fetched, recorded):
        return Found(_put(fetched, target, named), "DVC has it")
    now = f"{original} is another file now" if original.exists() else f"{original} does not exist"
    raise PipelineError(
        f"the table that it was trained on, {named} with SHA-256 {recorded.data_sha256}, is no longer there: {now}, "
        f"the commit does not hold it, and DVC neither{refused}",
        f"put the file of that SHA-256 back to {original}, from a backup or with dvc pull, and run this again",
    )


def _is(path: Path, recorded: Recorded) -> bool:
    return path.is_file() and sha256(path) == recorded.data_sha256


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


def _from_dvc(repository: Path, original: Path, commit: str, target: Path) -> tuple[Path, str]:
    """Get a file as DVC tracked it at a commit, from its cache or remote; or return why not."""
    if not (repository / ".dvc").is_dir() or not original.is_relative_to(repository):
        return target, ""
    target.parent.mkdir()
    name = original.relative_to(repository).as_posix()
    command = [sys.executable, "-m", "dvc", "get", "--quiet", "--rev", commit, "--out", str(target), "--"]
    done = subprocess.run([*command, str(repository), name], capture_output=True, text=True, check=False)
    lines = done.stderr.strip().splitlines() if done.returncode else []
    return target, f" ({lines[0].removeprefix('ERROR: ')})" if lines else ""
