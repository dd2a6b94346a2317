"""The winner as an ONNX graph, in its run and in its export."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pytest

from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.params.schema import RegisterParams
from pipeline.register.stage import Registration, register
from pipeline.store.open import open_store
from pipeline.support.files import sha256
from pipeline.support.paths import TEST_TABLE
from support.folders import copy_pipeline_folder, enter
from support.standard import FAMILIES, Standard, run_all

EXPORTS = Path("models/production")
PARAMS = RegisterParams(model_name="packaged")
pytestmark = pytest.mark.xdist_group("standard")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, standard: tuple[Path, dict[tuple[str, str], Standard]]) -> Path:
    """Return a copy of the pipeline folder with an experiment of every task and family."""
    folder = tmp_path_factory.mktemp("package") / "repository"
    copy_pipeline_folder(standard[0], folder)
    return folder


@pytest.fixture(scope="module")
def packaged(
    folder: Path, standard: tuple[Path, dict[tuple[str, str], Standard]]
) -> Iterator[dict[str, tuple[Standard, dict[str, Any]]]]:
    """Promote the binary experiment of each family to Production, one after the other."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(folder, monkeypatch)
        binary = {family: each for (kind, family), each in standard[1].items() if kind == "binary"}
        yield {
            name: (
                each,
                register(PARAMS, folder, Registration("Production", each.experiment.run_id, force=True, reason="test")),
            )
            for name, each in binary.items()
        }


@pytest.fixture(autouse=True)
def _inside(folder: Path, packaged: object, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(folder, monkeypatch)


def feeds(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Convert rows to graph inputs as documented, without the project's code."""
    inputs = {}
    for name, column in rows.items():
        is_text = column.dtype == "str"
        values = column.fillna("").to_numpy(object) if is_text else column.to_numpy(np.float64, na_value=np.nan)
        inputs[str(name)] = values.reshape(-1, 1)
    return inputs


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "lightgbm"])  # has no graph
def test_onnx_graph_is_logged_and_exported_and_predicts_the_same(
    packaged: dict[str, tuple[Standard, dict[str, Any]]], family: str
) -> None:
    trained, registered = packaged[family]
    client = open_store()
    run = client.get_run(trained.experiment.run_id)
    assert (run.info.status, run.data.tags["onnx"]) == ("FINISHED", "packaged")
    assert "onnx_model/model.onnx" in {file.path for file in client.list_artifacts(run.info.run_id, "onnx_model")}
    assert mlflow.onnx.load_model(f"runs:/{run.info.run_id}/onnx_model").graph.input[0].name == "size <m2>"
    assert run.data.metrics["onnx_largest_difference"] < 1e-5
    assert run.data.metrics["onnx_row_ms"] < run.data.metrics["onnx_original_row_ms"]
    assert run.data.metrics["onnx_rows_ms"] > 0
    assert run.data.metrics["onnx_original_rows_ms"] > 0
    assert not [name for name in registered["metrics"] if name.startswith(("onnx", "fold", "train"))]

    export = EXPORTS / f"v{registered['version']:03d}"
    metadata = json.loads((export / "metadata.json").read_text())
    assert metadata["files"]["model.onnx"] == sha256(export / "model.onnx")
    assert (metadata["family"], metadata["labels"]) == (family, [False, True])
    assert type(joblib.load(export / "model.pkl")).__name__ in {"XGBClassifier", "RandomForestClassifier", "Pipeline"}

    test = pd.read_parquet(TEST_TABLE).drop(columns="garden")
    unusual = test.assign(place="MOON", rooms=np.nan)
    unusual.loc[unusual.index[:9], "place"] = None
    served = RawRowsModel(export / "model")
    session = onnxruntime.InferenceSession(export / "model.onnx", providers=["CPUExecutionProvider"])
    for rows in (test, unusual):
        labels, probabilities = session.run(["prediction", "probabilities"], feeds(rows))
        expected = served.predict(rows)
        assert isinstance(expected, pd.DataFrame)
        np.testing.assert_array_equal(np.ravel(labels), expected["prediction"])
        columns = ["probability_False", "probability_True"]
        np.testing.assert_allclose(probabilities, expected[columns], rtol=1e-5, atol=1e-6)


def test_registering_again_reuses_the_graph(
    packaged: dict[str, tuple[Standard, dict[str, Any]]], progress_lines: list[str]
) -> None:
    run_id = packaged["xgboost"][0].experiment.run_id
    client = open_store()
    before = client.get_metric_history(run_id, "onnx_row_ms")
    assert register(PARAMS, Path(), Registration("Staging", run_id))["version"] == packaged["xgboost"][1]["version"]
    assert "was already packaged" in "\n".join(progress_lines)
    assert client.get_metric_history(run_id, "onnx_row_ms") == before


def test_run_without_its_test_table_is_registered_without_onnx(folder: Path, progress_lines: list[str]) -> None:
    (trained,) = run_all(folder, "regression", ["xgboost"])
    test = Path(TEST_TABLE).read_bytes()
    run_id = trained.experiment.run_id
    try:
        pd.read_parquet(TEST_TABLE).head(9).to_parquet(TEST_TABLE)
        registered = register(RegisterParams(model_name="unchecked"), folder, Registration("Staging", run_id))
        progress = "\n".join(progress_lines)
        assert "registered without ONNX" in progress
        assert "is not the table that run" in progress
        assert registered["stage"] == "Staging"
        tags = open_store().get_run(run_id).data.tags
        assert tags["onnx"].endswith("so the ONNX graph cannot be checked")
    finally:
        Path(TEST_TABLE).write_bytes(test)
    register(RegisterParams(model_name="unchecked"), folder, Registration("Staging", run_id))
    assert "the ONNX graph matches the model on all 30 test rows" in "\n".join(progress_lines)
