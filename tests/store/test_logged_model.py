"""Logged models: checked against their SHA-256 before loading, and pinned to exact requirements."""

import shutil
from importlib.metadata import version
from pathlib import Path

import mlflow
import pytest

from pipeline.errors import PipelineError, RegistryError
from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.register.finished_run import find_finished_run
from pipeline.store.logged_model import LOGGED_SHA256, logged_sha256
from pipeline.store.open import open_store
from support.folders import Trained
from support.repositories import pins


def stored_model(trained: Trained) -> Path:
    """Return the folder of the winner's logged model."""
    open_store()
    return Path(mlflow.artifacts.download_artifacts(f"models:/{trained.experiments[0].model_id}"))


def test_changed_model_file_is_not_loaded(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(stored_model(trained), tmp_path / "model")
    RawRowsModel(tmp_path / "model")
    with (tmp_path / "model" / "model.ubj").open("ab") as file:
        file.write(b"more")
    with pytest.raises(PipelineError, match=r"model\.ubj is not the file that was logged"):
        RawRowsModel(tmp_path / "model")


def test_model_with_foreign_code_is_not_a_candidate(trained: Trained) -> None:
    client, run_id, logged = open_store(), trained.experiments[0].run_id, stored_model(trained)
    assert client.get_run(run_id).data.tags[LOGGED_SHA256] == logged_sha256(logged)
    foreign = logged / "code" / "xgboost.py"
    foreign.write_text("raise SystemExit('it ran')")
    try:
        with pytest.raises(RegistryError, match=r"are not those that its run wrote: some file .* \(SHA-256 differs"):
            find_finished_run(client, trained.folder, run_id)
    finally:
        foreign.unlink()
    assert find_finished_run(client, trained.folder, run_id).run_id == run_id


def test_logged_model_pins_its_requirements(trained: Trained) -> None:
    for experiment in trained.experiments:
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{experiment.model_id}"))
        required = pins((folder / "requirements.txt").read_text())
        assert {"mlflow", "xgboost", "pandas", "numpy", "scipy", "scikit-learn", "pyyaml"} <= set(required)
        assert {name: version(name) for name in ("mlflow", "xgboost", "scipy")}.items() <= required.items()
