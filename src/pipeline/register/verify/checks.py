"""Checks of a version's metadata: its registration, run, data and code, and the link ``latest``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.register.export.files import EXPORT_COMMAND
from pipeline.register.versions import PENDING, version_in_stage
from pipeline.store.open import mlflow_command
from pipeline.support.git import has_commit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

SHA256 = re.compile("[0-9a-f]{64}")
MAX_PROBLEMS = 5  # shown for one check


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Subject:
    """A version to verify, with its run and export if they exist.

    Attributes
    ----------
    client : MlflowClient
    folder : Path
        The pipeline folder.
    version : ModelVersion
    run : Run, optional
    export : Path, optional
    """

    client: "MlflowClient"
    folder: Path
    version: "ModelVersion"
    run: "Run | None"
    export: Path | None

    @property
    def run_tags(self) -> dict[str, str]:
        """The tags of the run; empty if the run is missing."""
        return dict(self.run.data.tags) if self.run else {}


def make_check(name: str, problems: Sequence[str], success: str) -> Check:
    """Return a check that fails with `problems`, or passes with `success` as its detail."""
    more = [f"and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
    return Check(name, not problems, "; ".join([*problems[:MAX_PROBLEMS], *more]) or success)


def registered(subject: Subject) -> Check:
    """Check that the registration of the version is complete."""
    version = subject.version
    unfinished = "unfinished: the registration is running, or was interrupted -> python src/model_register.py"
    stage = f"{version.name} version {version.version}, stage {version.current_stage}"
    return make_check("registered", [unfinished] if PENDING in version.tags else [], stage)


def run_finished(subject: Subject) -> Check:
    """Check that the run is in the store, FINISHED and not deleted."""
    run_id, run = subject.version.run_id, subject.run
    problems = []
    if run is None:
        problems.append(f"run {run_id} is not in the store")
    elif run.info.lifecycle_stage != "active":
        problems.append(f"run {run_id} has been deleted -> {mlflow_command('mlflow runs restore')} --run-id {run_id}")
    elif run.info.status != "FINISHED":
        problems.append(f"run {run_id} is {run.info.status}, not FINISHED")
    return make_check("run", problems, f"{run_id} is FINISHED")


def data(subject: Subject) -> Check:
    """Check that the hash of the training data is recorded."""
    recorded = subject.version.tags.get("data_sha256", "")
    problems = [] if SHA256.fullmatch(recorded) else ["the version has no tag data_sha256"]
    if subject.run and recorded != subject.run_tags.get("data_sha256", ""):
        problems.append("the version's tag data_sha256 differs from its run's")
    return make_check("data", problems, f"SHA-256 {recorded}")


def code(subject: Subject) -> Check:
    """Check that the commit of the training is recorded, and in this repository."""
    commit = subject.version.tags.get("git_commit", "")
    problems = []
    if not commit:
        problems.append("the version has no tag git_commit: it was trained outside a git repository")
    elif not has_commit(subject.folder, commit):
        problems.append(f"commit {commit} is not in this git repository -> git fetch --all")
    if subject.run and commit != subject.run_tags.get("git_commit", ""):
        problems.append("the version's tag git_commit differs from its run's")
    dirty = subject.version.tags.get("git_dirty") == "true"
    return make_check("code", problems, f"commit {commit}" + (", with uncommitted changes" if dirty else ""))


def export_not_required(version: "ModelVersion") -> Check:
    """Check that a version without an export is not in Production."""
    is_required = version.current_stage == "Production"
    problems = [f"none, though the version is in Production -> {EXPORT_COMMAND}"] if is_required else []
    return make_check("export", problems, "none, and only a production version needs one")


def latest_is_production(client: "MlflowClient", name: str, exports: Path) -> Check:
    """Check that ``latest`` points to the production version."""
    latest, production = exports / "latest", version_in_stage(client, name, "Production")
    target = str(latest.readlink()) if latest.is_symlink() else ("not a link" if latest.exists() else "missing")
    expected = f"v{int(production.version):03d}" if production else "missing"
    in_production = f"{expected} is in Production" if production else "no version is in Production"
    return make_check(
        "latest", [] if target == expected else [f"{in_production}, but latest is {target}"], in_production
    )
