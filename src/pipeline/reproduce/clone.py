"""A temporary clone of this repository at a commit, with the params of a run."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.reproduce.original import OriginalTraining
from pipeline.support.git import git, has_commit
from pipeline.support.yaml import write_yaml

TRAIN = "src/model_train.py"


@contextmanager
def clone_of(repository: Path, commit: str) -> Iterator[Path]:
    """Check a commit out in a clone of its own, which is removed at the end; the repository stays as it is.

    Raises
    ------
    PipelineError
        When the commit is not in the repository, or cannot be checked out.
    """
    if not has_commit(repository, commit):
        raise PipelineError(
            f"commit {commit} is not in the git repository {repository}",
            "fetch it from where it was pushed to: git fetch --all (of a shallow clone: git fetch --unshallow)",
        )
    with tempfile.TemporaryDirectory(prefix="reproduce-") as name:
        clone = Path(name).resolve() / repository.name
        # Objects are read where they are; hooks are of people's checkouts.
        made = git(repository, "clone", "--quiet", "--shared", "--no-checkout", str(repository), str(clone))
        if (
            made is None
            or git(clone, "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach", commit) is None
        ):
            raise PipelineError(
                f"commit {commit} cannot be checked out in {name}", "check the disk's space, and git fsck"
            )
        yield clone


def folder_in(clone: Path, place: str) -> Path:
    """Return the pipeline folder at `place` of a clone.

    Raises
    ------
    PipelineError
        When the commit has none there.
    """
    folder = (clone / place).resolve()
    if not folder.is_relative_to(clone) or not (folder / "dvc.yaml").exists():
        raise PipelineError(
            f"the commit has no pipeline folder {place}: there is no dvc.yaml",
            "run this from the pipeline folder that the version was trained in",
        )
    return folder


def scripts_of(clone: Path, folder: Path) -> Path:
    """Return the nearest folder with the stages' scripts: of a pipeline folder or of one above it.

    Raises
    ------
    PipelineError
        When the commit has none.
    """
    for above in [folder, *folder.parents]:
        if above.is_relative_to(clone) and (above / TRAIN).exists():
            return (above / TRAIN).parent
    raise PipelineError(f"the commit has no {TRAIN}", "only commits of this project can be trained again")


def write_params(folder: Path, original: OriginalTraining, path: str) -> None:
    """Write the params of a run to the clone's params.yaml, with the path of its data."""
    params = {**original.params, "dataset": {**original.params["dataset"], "path": path}}
    (folder / "params.yaml").write_text(write_yaml(params), encoding="utf-8")
