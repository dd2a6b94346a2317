"""Verification of registered versions and their exports."""

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import pytest
from mlflow import MlflowClient

from pipeline.errors import RegistryError
from pipeline.params.schema import RegisterParams
from pipeline.register.export.files import export_problems
from pipeline.register.stage import Registration, register
from pipeline.register.verify.verify import Check, report, verify
from pipeline.store.open import open_store
from pipeline.support.files import sha256, write_json
from support.folders import Trained, enter
from support.repositories import change_params, git

pytestmark = pytest.mark.xdist_group("verify")  # share a module-scoped fixture

NAME = "verified"
EXPORTS = Path("models/production")
EXPORT = EXPORTS / "v001"
UNLOADED = "skipped, as models are loaded only after these checks pass: "


@pytest.fixture(scope="module")
def exported_module(trained_module: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a clone of the trained pipeline folder with version 1 in Production and version 2 in Staging."""
    folder = tmp_path_factory.mktemp("verify") / "clone"
    git(trained_module.folder, "clone", "--quiet", ".", str(folder))
    shutil.copytree(trained_module.folder / "data/processed", folder / "data/processed", dirs_exist_ok=True)
    change_params(folder, register={"model_name": NAME})
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(trained_module.folder, monkeypatch)
        for stage, experiment in zip(("Production", "Staging"), trained_module.experiments[::2], strict=False):
            register(RegisterParams(model_name=NAME), folder, Registration(stage, experiment.run_id))
        yield folder


@pytest.fixture
def exported(exported_module: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return that clone as the current folder, with the store of the trained folder; tests must restore its files."""
    monkeypatch.chdir(exported_module)
    return exported_module


@contextmanager
def restored(*paths: Path) -> Iterator[None]:
    """Restore the content of files after the block; remove those that did not exist."""
    before = {path: path.read_bytes() if path.exists() else None for path in paths}
    try:
        yield
    finally:
        for path, content in before.items():
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_bytes(content)


def failures(version: int | None = None) -> dict[str, str]:
    """Verify a version and return the details of the failed checks."""
    return {check.name: check.detail for check in verify(open_store(), NAME, Path(), version) if not check.passed}


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_intact_versions_pass(exported: Path, trained: Trained) -> None:
    checks = verify(open_store(), NAME, exported, None)
    assert [check.name for check in checks if not check.passed] == []
    assert [check.name for check in checks] == [
        "registered",
        "run",
        "data",
        "code",
        "metadata",
        "recorded",
        "files",
        "model files",
        "same as store",
        "predictions",
        "latest",
    ]
    assert (EXPORT / "model.onnx").exists()
    assert failures(1) == failures(2) == {}
    details = {check.name: check.detail for check in verify(open_store(), NAME, exported, 2)}
    assert details["export"] == "none, and only a production version needs one"
    assert details["predictions"] == "finite for the input example"
    assert details["run"] == f"{trained.experiments[2].run_id} is FINISHED"
    assert details["latest"] == "v001 is in Production"


def test_unknown_version_raises(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"has no version 7, and .*v007 does not exist(?s:.*)--list"):
        verify(open_store(), NAME, exported, 7)
    with pytest.raises(RegistryError, match="latest does not exist: no version of nobody is in Production"):
        verify(open_store(), "nobody", tmp_path, None)


def test_command_reports_failed_checks_and_exits_1(
    exported: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("model_register", "--verify") == 0
    printed = capsys.readouterr().out
    assert f"ok      registered     {NAME} version 1, stage Production\n" in printed
    assert printed.endswith("all 11 checks passed\n")
    with restored(EXPORT / "model.pkl"):
        flip(EXPORT / "model.pkl")
        assert call("model_register", "--verify", "1") == 1
    printed = capsys.readouterr().out
    assert "FAILED  files          model.pkl is not the file that was exported (SHA-256 differs)\n" in printed
    assert printed.endswith("2 of 11 checks failed: files, predictions\n")
    assert call("model_register", "--verify", "7") == 2


@pytest.mark.parametrize("name", ["model.pkl", "model.onnx", "model/model.ubj", "model/MLmodel", "model/features.json"])
def test_changed_byte_is_detected(exported: Path, name: str) -> None:
    with restored(EXPORT / name):
        flip(EXPORT / name)
        failed = failures()
    problem, sep, command = failed["files"].partition(" -> ")
    assert problem == f"{name} is not the file that was exported (SHA-256 differs)"
    assert sep
    assert command.startswith("python src/model_register.py --stage Production --run-id ")
    assert failed["predictions"].startswith(UNLOADED + "files")
    assert ("same as store" in failed) == (name != "model.pkl")


class Malicious:
    """An object whose unpickling creates a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_file_changed_together_with_metadata_is_detected_and_not_unpickled(exported: Path, tmp_path: Path) -> None:
    pickled, metadata = EXPORT / "model.pkl", EXPORT / "metadata.json"
    with restored(pickled, metadata):
        pickled.write_bytes(pickle.dumps(Malicious(tmp_path / "marker")))
        content = json.loads(metadata.read_text())
        content["files"]["model.pkl"] = sha256(pickled)
        write_json(metadata, content)
        assert export_problems(EXPORT) == []
        failed = failures()
        assert not (tmp_path / "marker").exists()
        joblib.load(pickled)
        assert (tmp_path / "marker").exists()
    assert failed["recorded"].startswith("metadata.json is not the one that was exported (SHA-256 differs) -> python")
    assert failed.keys() == {"recorded", "predictions"}


def test_extra_and_missing_files_are_detected(exported: Path) -> None:
    extra, missing = EXPORT / "model" / "more.py", EXPORT / "model" / "conda.yaml"
    compiled = EXPORT / "model" / "code" / "__pycache__"
    with restored(extra, missing):
        extra.write_text("import os\n")
        missing.unlink()
        compiled.mkdir()
        (compiled / "x.cpython-311.pyc").write_bytes(b"")
        (compiled / "y.cpython-311.pyc").write_bytes(b"")
        failed = failures()
        shutil.rmtree(compiled)
    assert failed["files"].startswith(
        "model/conda.yaml is missing; model/more.py was not exported; model/code/__pycache__ was not exported: "
        "Python writes it when a model is loaded from here without PYTHONDONTWRITEBYTECODE=1; remove it"
    )
    assert failed["same as store"].startswith(
        "model/conda.yaml differs from the store's; model/more.py differs from the store's -> python"
    )


def test_pycache_in_the_store_is_ignored(exported: Path, trained: Trained) -> None:
    stored = trained.folder / f"mlruns/small/models/{trained.experiments[0].model_id}/artifacts/code/__pycache__"
    stored.mkdir()
    try:
        (stored / "x.cpython-311.pyc").write_bytes(b"")
        assert failures() == {}
    finally:
        shutil.rmtree(stored)


def test_metadata_must_be_valid_and_of_this_version(exported: Path) -> None:
    metadata = EXPORT / "metadata.json"
    with restored(metadata):
        write_json(metadata, json.loads(metadata.read_text()) | {"version": 3, "run_id": "f" * 32})
        failed = failures()
        assert failed["metadata"].startswith(
            "metadata.json has version 3, but the registry has 1; metadata.json has run_id "
        )
        metadata.write_text("{")
        failed = failures()
        assert "is not valid JSON" in failed["metadata"]
        metadata.unlink()
        failed = failures()
        assert "metadata.json does not exist" in failed["metadata"]
        assert "metadata.json does not exist" in failed["files"]
    assert failures() == {}


def test_missing_and_changed_tags_are_detected(exported: Path, trained: Trained) -> None:
    client, run_id = open_store(), trained.experiments[0].run_id
    version = client.get_model_version(NAME, "1")
    try:
        client.delete_model_version_tag(NAME, "1", "export_sha256")
        client.set_model_version_tag(NAME, "1", "data_sha256", "0" * 64)
        client.set_model_version_tag(NAME, "1", "git_commit", "0" * 40)
        failed = failures()
    finally:
        for tag in ("export_sha256", "data_sha256", "git_commit"):
            client.set_model_version_tag(NAME, "1", tag, version.tags[tag])
    assert failed["recorded"].endswith(f"-> python src/model_register.py --stage Production --run-id {run_id}")
    assert failed["data"] == "the version's tag data_sha256 differs from its run's"
    assert failed["code"].startswith(f"commit {'0' * 40} is not in this git repository -> git fetch --all; ")
    assert failures() == {}


@pytest.mark.parametrize("status", ["deleted", "FAILED", "RUNNING"])
def test_run_must_exist_and_be_finished(exported: Path, trained: Trained, status: str) -> None:
    client, run_id = open_store(), trained.experiments[0].run_id
    try:
        client.delete_run(run_id) if status == "deleted" else client.update_run(run_id, status)
        failed = failures()
    finally:
        client.restore_run(run_id) if status == "deleted" else client.set_terminated(run_id)
    assert failed.keys() == {"run"}
    assert status in failed["run"]
    assert failures() == {}


@pytest.mark.parametrize(("version", "place"), [(1, 0), (2, 2)])
def test_changed_model_in_the_store_is_detected(exported: Path, trained: Trained, version: int, place: int) -> None:
    experiment = trained.experiments[place]
    stored = trained.folder / f"mlruns/small/models/{experiment.model_id}/artifacts/model.ubj"
    with restored(stored):
        flip(stored)
        failed = failures(version)
        assert failed["model files"].startswith("model.ubj of the store's model does not match the run's tag")
        assert failed["predictions"].startswith(UNLOADED + "model files")
        stored.unlink()
        assert "cannot be read" in failures(version)["model files"]
    code = stored.with_name("code") / "pipeline" / "features.py"
    with restored(code):
        code.write_text("import os\n")
        assert failures(version)["model files"].startswith(
            "some file of the store's model does not match the run's tag"
        )
    assert failures(version) == {}


@contextmanager
def link(path: Path, target: str) -> Iterator[None]:
    """Point a symbolic link to another target during the block."""
    before = path.readlink()
    path.unlink()
    path.symlink_to(target)
    try:
        yield
    finally:
        path.unlink()
        path.symlink_to(before)


def test_latest_must_link_to_the_production_version(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(EXPORT, tmp_path / "v001")
    shutil.copytree(EXPORT, EXPORTS / "v002")
    with link(EXPORTS / "latest", "v002"):
        failed = failures()
        assert failed["latest"] == "v001 is in Production, but latest is v002"
        assert "metadata.json has version 1, but the registry has 2" in failed["metadata"]
    shutil.rmtree(EXPORTS / "v002")
    with link(EXPORTS / "latest", str(tmp_path / "v001")):
        assert failures().keys() == {"latest"}
    with link(EXPORTS / "latest", "v007"):
        assert failures().keys() == {"registered", "files", "latest"}


def test_production_version_requires_an_export(exported: Path, tmp_path: Path) -> None:
    (tmp_path / ".git").symlink_to(exported / ".git")
    checks = verify(open_store(), NAME, tmp_path, None)
    details = {check.name: check.detail for check in checks if not check.passed}
    assert details == {
        "export": "none, though the version is in Production -> python src/model_register.py --stage Production",
        "latest": "v001 is in Production, but latest is missing",
    }


def test_different_predictions_are_detected(exported: Path, trained: Trained, tmp_path: Path) -> None:
    from pipeline.register.verify.prediction_checks import prediction_problems

    other = tmp_path / "other"
    shutil.copytree(EXPORT, other)
    store = trained.folder / f"mlruns/small/models/{trained.experiments[0].model_id}/artifacts"
    assert prediction_problems(store, other) == []
    model = joblib.load(other / "model.pkl")
    model.set_params(base_score=0.0)
    model.fit(*_training_rows(model.n_features_in_))
    joblib.dump(model, other / "model.pkl")
    model.save_model(other / "model" / "model.ubj")
    features = other / "model" / "features.json"
    digest = {"model_sha256": sha256(other / "model" / "model.ubj")}
    features.write_text(json.dumps(json.loads(features.read_text()) | digest))
    assert prediction_problems(store, other) == [
        "model/ predicts differently from the store's model",
        "model.pkl predicts differently from the store's model",
    ]
    assert prediction_problems(other / "model", other) == ["model.onnx predicts differently from the store's model"]
    (other / "model.pkl").write_bytes(b"not a pickle")
    (problem,) = prediction_problems(other / "model", other)
    assert problem.startswith("the model cannot be loaded or cannot predict: ")


def _training_rows(n_features: int) -> tuple[list[list[float]], list[float]]:
    return [[float(row + column) for column in range(n_features)] for row in range(20)], [
        float(row) for row in range(20)
    ]


def make_export(folder: Path) -> dict[str, Any]:
    """Write a small export and return its metadata."""
    (folder / "model").mkdir(parents=True)
    (folder / "model.pkl").write_bytes(b"estimator")
    (folder / "model" / "MLmodel").write_bytes(b"model")
    files = {name: sha256(folder / name) for name in ("model.pkl", "model/MLmodel")}
    metadata = {"name": "x", "version": 1, "run_id": "r", "model_id": "m", "files": files}
    write_json(folder / "metadata.json", metadata)
    return metadata


def test_names_and_links_outside_the_export_are_not_followed(tmp_path: Path) -> None:
    export, outside = tmp_path / "v001", tmp_path / "outside"
    metadata = make_export(export)
    outside.mkdir()
    shutil.copy(export / "model" / "MLmodel", outside)
    (tmp_path / "latest").symlink_to("v001")
    assert export_problems(export) == export_problems(tmp_path / "latest") == []

    digest = metadata["files"]["model/MLmodel"]
    names = ["../outside/MLmodel", str(outside / "MLmodel"), "model/../model/MLmodel", ".", ""]
    write_json(export / "metadata.json", metadata | {"files": metadata["files"] | dict.fromkeys(names, digest)})
    assert export_problems(export) == [
        f"metadata.json lists {name!r}, which is outside the export" for name in sorted(names)
    ]
    write_json(export / "metadata.json", metadata)

    shutil.rmtree(export / "model")
    (export / "model").symlink_to(outside)
    assert export_problems(export) == ["model/MLmodel is missing", "model was not exported"]
    (export / "model").unlink()
    (export / "model").mkdir()
    (export / "model" / "MLmodel").symlink_to(outside / "MLmodel")
    assert export_problems(export) == ["model/MLmodel is not a regular file"]
    (export / "model" / "MLmodel").unlink()
    os.mkfifo(export / "model" / "MLmodel")
    assert export_problems(export) == ["model/MLmodel is not a regular file"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", "lacks one of the keys name"),
        ('{"name": 1, "version": 1, "run_id": 1, "model_id": 1, "files": {}}', "lists no files"),
        (
            '{"name": 1, "version": 1, "run_id": 1, "model_id": 1, "files": {"model.pkl": 5}}',
            "has no SHA-256 for model",
        ),
    ],
)
def test_incomplete_metadata_is_reported_as_damage(tmp_path: Path, content: str, problem: str) -> None:
    make_export(tmp_path / "v001")
    (tmp_path / "v001" / "metadata.json").write_text(content)
    assert problem in export_problems(tmp_path / "v001")[0]
    (tmp_path / "v001" / "metadata.json").unlink()
    (tmp_path / "v001" / "metadata.json").symlink_to(tmp_path / "elsewhere.json")
    assert "is not a regular file" in export_problems(tmp_path / "v001")[0]


def test_report_is_aligned_and_ends_with_a_summary() -> None:
    checks = [Check("run", True, "r is FINISHED"), Check("model file", False, "differs")]
    assert report(checks) == (
        "ok      run         r is FINISHED\nFAILED  model file  differs\n1 of 2 checks failed: model file"
    )
    assert report(checks[:1]) == "ok      run  r is FINISHED\nall 1 checks passed"


def test_export_of_a_deleted_version_is_detected(exported: Path, trained: Trained) -> None:
    client: MlflowClient = open_store()
    register(
        RegisterParams(model_name=NAME), exported, Registration("Production", trained.experiments[1].run_id, True, "x")
    )
    try:
        client.delete_model_version(NAME, "3")
        failed = failures()
        assert failed == {
            "registered": f"{NAME} has no version 3: it was deleted, or belongs to another store",
            "latest": "no version is in Production, but latest is v003",
        }
    finally:
        register(RegisterParams(model_name=NAME), exported, Registration("Production", trained.experiments[0].run_id))
        shutil.rmtree(EXPORTS / "v003")
    assert failures() == {}
