"""What is looked at of a version's files: its export, its model in the store, and whether they are the same."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.register.export.export import EXPORT_SHA256
from pipeline.register.export.files import EXPORT_AGAIN, METADATA, read_metadata
from pipeline.register.package import ONNX_FILE, ONNX_FOLDER
from pipeline.register.verify.checks import Check, Subject, checked
from pipeline.store.logged_model import COMPILED, file_problems
from pipeline.support.files import sha256

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def metadata(subject: Subject, export: Path) -> Check:
    """Check that metadata.json is whole and of this version."""
    try:
        stated = read_metadata(export)
    except PipelineError as error:
        return Check("metadata", False, error.problem)
    version = subject.version
    expected = {"name": version.name, "version": int(version.version), "run_id": version.run_id}
    expected |= {name: version.tags.get(name) for name in ("data_sha256", "git_commit")}
    problems = [
        f"{METADATA} says {key} {stated.get(key)!r}, the registry {value!r}"
        for key, value in expected.items()
        if stated.get(key) != value
    ]
    return checked("metadata", problems, f"{METADATA} is of this version and its run")


def metadata_sha256(version: "ModelVersion", export: Path) -> Check:
    """Check that metadata.json is the file whose SHA-256 the registry keeps."""
    known, path = version.tags.get(EXPORT_SHA256), export / METADATA
    problems = []
    if known is None:
        problems = [f"the registry has no SHA-256 of {METADATA}"]
    elif not path.is_file() or path.is_symlink() or sha256(path) != known:
        problems = [f"{METADATA} is not the one that was exported (SHA-256 differs)"]
    again = f"{EXPORT_AGAIN} --run-id {version.run_id}"
    return checked("recorded", [f"{problem} -> {again}" for problem in problems], "as the registry has its SHA-256")


def model_files(subject: Subject, store: Path) -> list[str]:
    """Return what is wrong with the files of the store's model, by the tags of its run and of the version."""
    by_run, by_version = (
        file_problems(store, whose, tags)
        for whose, tags in (("run", subject.run_tags), ("version", subject.version.tags))
    )
    return by_run + [problem for problem in by_version if problem not in by_run]


def differences(subject: Subject, export: Path, store: Path, temporary: Path) -> list[str]:
    """Compare model/ of an export with the store's model, and model.onnx with the run's."""
    of_store, of_export = _hashes(store), _hashes(export / "model")
    problems = [
        f"model/{name} differs from the store's"
        for name in sorted(of_store.keys() | of_export.keys())
        if of_store.get(name) != of_export.get(name)
    ]
    if (export / ONNX_FILE).exists():
        problems += _differences_of_graph(subject, export / ONNX_FILE, temporary)
    return problems


def _differences_of_graph(subject: Subject, exported: Path, temporary: Path) -> list[str]:
    from mlflow.exceptions import MlflowException

    artifact = f"{ONNX_FOLDER}/{ONNX_FILE}"
    try:
        stored = Path(subject.client.download_artifacts(str(subject.version.run_id), artifact, str(temporary)))
    except (MlflowException, OSError):
        return [f"the run has no {artifact}"]
    return [] if sha256(stored) == sha256(exported) else [f"{ONNX_FILE} differs from the run's {artifact}"]


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file, but for what Python compiles when a model is loaded from the store."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    files = (path for path in files if COMPILED not in path.parts)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}
