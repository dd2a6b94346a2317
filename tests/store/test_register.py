"""Registration of a run: tags, stages, exports, and what is refused."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.errors import RegistryError
from pipeline.features.transformer import FeatureTransformer
from pipeline.params.schema import RegisterParams
from pipeline.register.stage import Registration, register
from pipeline.store.open import open_experiment, open_store
from pipeline.support.files import sha256
from support.folders import Trained, enter
from support.registry import EXPORTS, state


def test_winner_is_registered_once_with_tags_on_run_and_version(trained: Trained, params: RegisterParams) -> None:
    winner = trained.experiments[0]
    first = register(params, trained.folder)
    again = register(params, trained.folder)
    assert first == again == json.loads(Path("mlartifacts/registration/registered_model.json").read_text())
    assert (first["version"], first["stage"], first["alias"], first["run_id"]) == (
        1,
        "Staging",
        "staging",
        winner.run_id,
    )
    client = open_store()
    assert state(client, params.model_name) == {1: ("Staging", ["staging"])}
    version = client.get_model_version(params.model_name, "1")
    assert version.tags["run_id"] == winner.run_id
    assert version.tags["data_sha256"] == sha256(Path("data.csv"))
    assert version.tags["git_commit"] == client.get_run(winner.run_id).data.tags["git_commit"]
    assert float(version.tags["test_rmse"]) == pytest.approx(winner.fitted.metrics["test_rmse"], rel=1e-5)
    tags = client.get_run(winner.run_id).data.tags
    assert (tags["registered_model_name"], tags["registered_model_version"]) == (params.model_name, "1")
    assert not EXPORTS.exists() or not (EXPORTS / "latest").exists()


def test_production_export_loads_in_every_documented_way(trained: Trained, params: RegisterParams) -> None:
    winner = trained.experiments[0]
    register(params, trained.folder, Registration("Production"))
    test = pd.read_parquet("data/processed/test.parquet")
    features = winner.fitted.features
    for uri in (f"runs:/{winner.run_id}/model", f"models:/{params.model_name}/1"):
        assert type(mlflow.xgboost.load_model(uri)).__name__ == "XGBRegressor"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        bare = mlflow.xgboost.load_model(f"models:/{params.model_name}/Production")
    by_alias = mlflow.pyfunc.load_model(f"models:/{params.model_name}@production")
    np.testing.assert_array_equal(by_alias.predict(test), winner.fitted.outputs)

    export = EXPORTS / "latest"
    assert export.is_symlink()
    assert export.resolve() == (EXPORTS / "v001").resolve()
    pickled = joblib.load(export / "model.pkl")
    assert type(pickled) is type(bare)
    X_test = FeatureTransformer.load(export / "model").transform(test, only=features)
    np.testing.assert_array_equal(pickled.predict(X_test), bare.predict(X_test))
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(str(export / "model")).predict(test), winner.fitted.outputs)
    metadata: dict[str, Any] = json.loads((export / "metadata.json").read_text())
    assert (metadata["name"], metadata["version"], metadata["stage"]) == (params.model_name, 1, "Production")
    assert metadata["run_id"] == winner.run_id
    assert metadata["feature_names"] == features == pickled.get_booster().feature_names
    assert [column["name"] for column in metadata["signature"]["inputs"]] == ["size <m2>", "rooms", "place", "garden"]
    assert metadata["packages"]["xgboost"]
    assert metadata["data_sha256"] == sha256(Path("data.csv"))
    files = {str(path.relative_to(export)) for path in export.rglob("*") if path.is_file()}
    assert set(metadata["files"]) == files - {"metadata.json"}
    assert all(sha256(export / name) == digest for name, digest in metadata["files"].items())
    assert metadata["files"]["model/model.ubj"] == winner.model_sha256
    assert not [path for path in EXPORTS.iterdir() if path.name.startswith(".")]


def test_promotion_archives_the_previous_version(trained: Trained, params: RegisterParams) -> None:
    client = open_store()
    first, second = (experiment.run_id for experiment in trained.experiments[:2])
    register(params, trained.folder, Registration("Production", first))
    register(params, trained.folder, Registration("Staging", second))
    assert state(client, params.model_name) == {1: ("Production", ["production"]), 2: ("Staging", ["staging"])}
    register(params, trained.folder, Registration("Production", second, force=True, reason="test"))
    assert state(client, params.model_name) == {1: ("Archived", []), 2: ("Production", ["production"])}
    assert (EXPORTS / "latest").readlink() == Path("v002")
    register(params, trained.folder, Registration("Archived", second))
    assert state(client, params.model_name) == {1: ("Archived", []), 2: ("Archived", [])}
    register(params, trained.folder, Registration("None", first))
    assert state(client, params.model_name) == {1: ("None", []), 2: ("Archived", [])}


def test_stage_in_params_does_not_demote_production(
    trained: Trained, params: RegisterParams, progress_lines: list[str]
) -> None:
    register(params, trained.folder, Registration("Production"))
    assert register(params, trained.folder)["stage"] == "Production"
    assert "stays in Production" in "\n".join(progress_lines)
    assert register(params, trained.folder, Registration("Staging"))["stage"] == "Staging"


def test_exporting_again_replaces_a_damaged_export(trained: Trained, params: RegisterParams) -> None:
    register(params, trained.folder, Registration("Production"))
    (EXPORTS / "v001" / "model.pkl").write_bytes(b"damaged")
    register(params, trained.folder, Registration("Production"))
    metadata = json.loads((EXPORTS / "latest" / "metadata.json").read_text())
    assert sha256(EXPORTS / "latest" / "model.pkl") == metadata["files"]["model.pkl"]


def test_export_of_another_run_is_not_replaced(trained: Trained, params: RegisterParams) -> None:
    first, second = (experiment.run_id for experiment in trained.experiments[:2])
    register(params, trained.folder, Registration("Production", first))
    before = (EXPORTS / "v001" / "metadata.json").read_bytes()
    other = params.model_copy(update={"model_name": f"{params.model_name}-other"})
    with pytest.raises(RegistryError, match=f"is the export of another run, {first}"):
        register(other, trained.folder, Registration("Production", second))
    assert (EXPORTS / "v001" / "metadata.json").read_bytes() == before
    assert not open_store().search_registered_models(f"name = '{other.model_name}'")


def test_invalid_run_leaves_the_registry_unchanged(trained: Trained, params: RegisterParams, tmp_path: Path) -> None:
    client = open_store()
    experiment_id = open_experiment(client, "broken")
    running = client.create_run(experiment_id).info.run_id
    empty = client.create_run(experiment_id).info.run_id
    client.set_terminated(empty)
    deleted = client.create_run(experiment_id).info.run_id
    client.delete_run(deleted)
    for run_id, message in {
        "0" * 32: "is not in the store",
        running: "is RUNNING, not FINISHED",
        empty: "has no logged model",
        deleted: "has been deleted",
    }.items():
        with pytest.raises(Exception, match=message) as raised:
            register(params, trained.folder, Registration("Production", run_id))
        assert isinstance(raised.value, RegistryError) or run_id == empty
    with pytest.raises(Exception, match=r"best_model_info.json does not exist(?s:.*)create it with: dvc repro"):
        register(params, tmp_path)
    assert not client.search_registered_models(f"name = '{params.model_name}'")


def test_changed_or_missing_model_file_is_detected(trained: Trained, params: RegisterParams) -> None:
    loser = trained.experiments[2]
    (folder,) = Path("mlruns/small/models").glob(f"{loser.model_id}/artifacts")
    original = (folder / "model.ubj").read_bytes()
    try:
        (folder / "model.ubj").write_bytes(original[:-1])
        with pytest.raises(RegistryError, match="SHA-256 differs"):
            register(params, trained.folder, Registration("Production", loser.run_id))
        (folder / "model.ubj").unlink()
        with pytest.raises(RegistryError, match=r"those that its run wrote: .* cannot be read"):
            register(params, trained.folder, Registration("Production", loser.run_id))
    finally:
        (folder / "model.ubj").write_bytes(original)
    assert not open_store().search_registered_models(f"name = '{params.model_name}'")


def test_export_with_different_predictions_is_refused(
    trained: Trained, params: RegisterParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_model = mlflow.pyfunc.load_model

    class Shifted:
        def predict(self, rows: pd.DataFrame) -> Any:
            return load_model(f"runs:/{trained.experiments[0].run_id}/model").predict(rows) + 1

    monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda uri: Shifted())
    with pytest.raises(RegistryError, match="for its input example"):
        register(params, trained.folder, Registration("Production"))
    assert not list(EXPORTS.glob("v*")) + list(EXPORTS.glob(".*"))
    assert not open_store().search_registered_models(f"name = '{params.model_name}'")
    monkeypatch.undo()
    enter(trained.folder, monkeypatch)
    assert register(params, trained.folder, Registration("Production"))["version"] == 1


def test_command_accepts_stage_and_run_id(
    trained: Trained, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = trained.experiments[1].run_id
    assert call("model_register", "--stage", "Archived", "--run-id", run_id) == 0
    name = yaml.safe_load(Path("params.yaml").read_text())["register"]["model_name"]
    assert f"{name} version 1 has stage Archived" in capsys.readouterr().out
    assert call("model_register", "--run-id", "nonsense") == 2
    assert "error: MLflow run nonsense is not in the store" in capsys.readouterr().err
    assert call("model_register", "--stage", "production") == 2
