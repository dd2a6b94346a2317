"""What is looked at of a version by itself: the registry, its run, its data and code, what ``latest`` points at."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.register.export.files import EXPORT_AGAIN
from pipeline.register.versions import PENDING, in_stage
from pipeline.store.open import with_store
from pipeline.support.git import has_commit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

SHA256 = re.compile("[0-9a-f]{64}")
SHOWN = 5  # problems of one check


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what was found."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Subject:
    """A version as the registry has it, its run, and its export, as far as there are these.

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
        """Tags of the run; none of one that is gone."""
        return dict(self.run.data.tags) if self.run else {}


def checked(name: str, problems: Sequence[str], fine: str) -> Check:
    """Make a check of its problems, or of what is fine where there are none."""
    more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
    return Check(name, not problems, "; ".join([*problems[:SHOWN], *more]) or fine)


def registered(subject: Subject) -> Check:
    """Check that the registration of the version is finished."""
    version = subject.version
    unfinished = "not finished: it is being registered now, or that was cut short -> python src/model_register.py"
    stage = f"{version.name} version {version.version}, stage {version.current_stage}"
    return checked("registered", [unfinished] if PENDING in version.tags else [], stage)


def run_finished(subject: Subject) -> Check:
    """Check that its run is in the store, FINISHED and not deleted."""
    run_id, run = subject.version.run_id, subject.run
    problems = []
    if run is None:
        problems.append(f"run {run_id} is not in the store")
    elif run.info.lifecycle_stage != "active":
        problems.append(f"run {run_id} has been deleted -> {with_store('mlflow runs restore')} --run-id {run_id}")
    elif run.info.status != "FINISHED":
        problems.append(f"run {run_id} is {run.info.status}, not FINISHED")
    return checked("run", problems, f"{run_id} is FINISHED")


def data(subject: Subject) -> Check:
    """Check that the hash of the table it was trained on is known."""
    known = subject.version.tags.get("data_sha256", "")
    problems = [] if SHA256.fullmatch(known) else ["the version has no tag data_sha256"]
    if subject.run and known != subject.run_tags.get("data_sha256", ""):
        problems.append("the version's tag data_sha256 is not its run's")
    return checked("data", problems, f"SHA-256 {known}")


def code(subject: Subject) -> Check:
    """Check that the commit it was trained at is known, and in this repository."""
    commit = subject.version.tags.get("git_commit", "")
    problems = []
    if not commit:
        problems.append("the version has no tag git_commit: it was trained outside a git repository")
    elif not has_commit(subject.folder, commit):
        problems.append(f"commit {commit} is not in this git repository -> git fetch --all")
    if subject.run and commit != subject.run_tags.get("git_commit", ""):
        problems.append("the version's tag git_commit is not its run's")
    dirty = subject.version.tags.get("git_dirty") == "true"
    return checked("code", problems, f"commit {commit}" + (", with changes that were not committed" if dirty else ""))


def needs_no_export(version: "ModelVersion") -> Check:
    """Check that a version without an export is not in Production."""
    missing = version.current_stage == "Production"
    problems = [f"none, though the version is in Production -> {EXPORT_AGAIN}"] if missing else []
    return checked("export", problems, "none, and none is needed outside Production")


def latest_is_production(client: "MlflowClient", name: str, exports: Path) -> Check:
    """Check that ``latest`` points at the version in Production."""
    latest, production = exports / "latest", in_stage(client, name, "Production")
    target = str(latest.readlink()) if latest.is_symlink() else ("no link" if latest.exists() else "missing")
    expected = f"v{int(production.version):03d}" if production else "missing"
    in_production = f"{expected} is in Production" if production else "no version is in Production"
    return checked("latest", [] if target == expected else [f"{in_production}, and latest is {target}"], in_production)
