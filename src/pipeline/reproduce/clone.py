"""A temporary clone of this repository at a commit, with the parameters of a run."""

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
def temporary_clone(repository: Path, commit: str) -> Iterator[Path]:
    """Check out a commit in a temporary clone, which is removed at the end; the repository is not changed.

    Raises
    ------
    PipelineError
        If the commit is not in the repository, or cannot be checked out.
    """
    if not has_commit(repository, commit):
        raise PipelineError(
            f"commit {commit} is not in the git repository {repository}",
            "fetch it from a remote: git fetch --all (in a shallow clone: git fetch --unshallow)",
        )
    with tempfile.TemporaryDirectory(prefix="reproduce-") as name:
        clone = Path(name).resolve() / repository.name
        # The clone shares the objects, and does not run the user's git hooks.
        cloned = git(repository, "clone", "--quiet", "--shared", "--no-checkout", str(repository), str(clone))
        if (
            cloned is None
            or git(clone, "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach", commit) is None
        ):
            raise PipelineError(
                f"commit {commit} cannot be checked out in {name}", "check the free disk space, and run git fsck"
            )
        yield clone


def pipeline_folder_of_clone(clone: Path, relative_path: str) -> Path:
    """Return the pipeline folder at `relative_path` in a clone.

    Raises
    ------
    PipelineError
        If the commit has no pipeline there.
    """
    folder = (clone / relative_path).resolve()
    if not folder.is_relative_to(clone) or not (folder / "dvc.yaml").exists():
        raise PipelineError(
            f"the commit has no pipeline folder {relative_path}: there is no dvc.yaml",
            "run this in the pipeline folder that the version was trained in",
        )
    return folder


def scripts_folder(clone: Path, folder: Path) -> Path:
    """Return the folder of the stages' scripts, in a pipeline folder or the nearest one above it.

    Raises
    ------
    PipelineError
        If the commit has none.
    """
    for above in [folder, *folder.parents]:
        if above.is_relative_to(clone) and (above / TRAIN).exists():
            return (above / TRAIN).parent
    raise PipelineError(f"the commit has no {TRAIN}", "only commits of this project can be reproduced")


def write_params(folder: Path, original: OriginalTraining, path: str) -> None:
    """Write the parameters of a run, with its device and the path of its data, to the clone's params.yaml."""
    params = {**original.params, "dataset": {**original.params["dataset"], "path": path}}
    if "device" in params.get("train", {}):  # unknown to the code of older commits
        params["train"] = {**params["train"], "device": original.device}
    (folder / "params.yaml").write_text(write_yaml(params), encoding="utf-8")
