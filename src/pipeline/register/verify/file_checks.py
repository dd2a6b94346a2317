"""Checks of a version's files: its export, its model in the store, and whether they are the same."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.register.export.export import EXPORT_SHA256
from pipeline.register.export.files import EXPORT_COMMAND, METADATA, read_metadata
from pipeline.register.package import ONNX_FILE, ONNX_FOLDER
from pipeline.register.verify.checks import Check, Subject, make_check
from pipeline.store.logged_model import PYCACHE, file_problems
from pipeline.support.files import sha256

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def metadata(subject: Subject, export: Path) -> Check:
    """Check that metadata.json is valid and belongs to this version."""
    try:
        content = read_metadata(export)
    except PipelineError as error:
        return Check("metadata", False, error.problem)
    version = subject.version
    expected = {"name": version.name, "version": int(version.version), "run_id": version.run_id}
    expected |= {name: version.tags.get(name) for name in ("data_sha256", "git_commit")}
    problems = [
        f"{METADATA} has {key} {content.get(key)!r}, but the registry has {value!r}"
        for key, value in expected.items()
        if content.get(key) != value
    ]
    return make_check("metadata", problems, f"{METADATA} belongs to this version and its run")


def metadata_sha256(version: "ModelVersion", export: Path) -> Check:
    """Check that metadata.json has the SHA-256 that the registry recorded."""
    recorded, path = version.tags.get(EXPORT_SHA256), export / METADATA
    problems = []
    if recorded is None:
        problems = [f"the registry has no SHA-256 for {METADATA}"]
    elif not path.is_file() or path.is_symlink() or sha256(path) != recorded:
        problems = [f"{METADATA} is not the one that was exported (SHA-256 differs)"]
    remedy = f"{EXPORT_COMMAND} --run-id {version.run_id}"
    return make_check("recorded", [f"{problem} -> {remedy}" for problem in problems], "has the SHA-256 in the registry")


def model_files(subject: Subject, store: Path) -> list[str]:
    """Return the problems of the store's model files, compared with the tags of the run and of the version."""
    run_problems, version_problems = (
        file_problems(store, source, tags)
        for source, tags in (("run", subject.run_tags), ("version", subject.version.tags))
    )
    return run_problems + [problem for problem in version_problems if problem not in run_problems]


def differences(subject: Subject, export: Path, store: Path, temporary: Path) -> list[str]:
    """Return the files of model/ and model.onnx in an export that differ from the store."""
    store_hashes, export_hashes = _hashes(store), _hashes(export / "model")
    problems = [
        f"model/{name} differs from the store's"
        for name in sorted(store_hashes.keys() | export_hashes.keys())
        if store_hashes.get(name) != export_hashes.get(name)
    ]
    if (export / ONNX_FILE).exists():
        problems += _graph_differences(subject, export / ONNX_FILE, temporary)
    return problems


def _graph_differences(subject: Subject, exported: Path, temporary: Path) -> list[str]:
    from mlflow.exceptions import MlflowException

    artifact = f"{ONNX_FOLDER}/{ONNX_FILE}"
    try:
        stored = Path(subject.client.download_artifacts(str(subject.version.run_id), artifact, str(temporary)))
    except (MlflowException, OSError):
        return [f"the run has no {artifact}"]
    return [] if sha256(stored) == sha256(exported) else [f"{ONNX_FILE} differs from the run's {artifact}"]


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file, except Python's compiled files from loading the model."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    files = (path for path in files if PYCACHE not in path.parts)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}
