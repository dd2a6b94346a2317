"""The winner as an ONNX graph, in its run and in its export; and a classification as it is served."""

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
from support.folders import copy_settled, enter
from support.standard import FAMILIES, Standard, run_all

EXPORTS = Path("models/production")
PARAMS = RegisterParams(model_name="packaged")
pytestmark = pytest.mark.xdist_group("standard")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, standard: tuple[Path, dict[tuple[str, str], Standard]]) -> Path:
    folder = tmp_path_factory.mktemp("package") / "repository"
    copy_settled(standard[0], folder)
    return folder


@pytest.fixture(scope="module")
def packaged(
    folder: Path, standard: tuple[Path, dict[tuple[str, str], Standard]]
) -> Iterator[dict[str, tuple[Standard, dict[str, Any]]]]:
    """Put the experiment of each family on two labels into production, one after the other."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(folder, monkeypatch)
        ours = {family: one for (kind, family), one in standard[1].items() if kind == "binary"}
        yield {
            name: (
                one,
                register(PARAMS, folder, Registration("Production", one.experiment.run_id, force=True, reason="test")),
            )
            for name, one in ours.items()
        }


@pytest.fixture(autouse=True)
def _inside(folder: Path, packaged: object, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(folder, monkeypatch)


def feeds(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Turn rows into a graph's inputs as its documentation says, without the project's code."""
    fed = {}
    for name, column in rows.items():
        is_text = column.dtype == "str"
        values = column.fillna("").to_numpy(object) if is_text else column.to_numpy(np.float64, na_value=np.nan)
        fed[str(name)] = values.reshape(-1, 1)
    return fed


@pytest.mark.parametrize("family", FAMILIES)
def test_the_graph_is_in_the_winners_run_and_in_the_export_and_answers_alike(
    packaged: dict[str, tuple[Standard, dict[str, Any]]], family: str
) -> None:
    one, registered = packaged[family]
    client = open_store()
    run = client.get_run(one.experiment.run_id)
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
    strange = test.assign(place="MOON", rooms=np.nan)
    strange.loc[strange.index[:9], "place"] = None
    served = RawRowsModel(export / "model")
    session = onnxruntime.InferenceSession(export / "model.onnx", providers=["CPUExecutionProvider"])
    for rows in (test, strange):
        labels, probabilities = session.run(["prediction", "probabilities"], feeds(rows))
        expected = served.predict(rows)
        assert isinstance(expected, pd.DataFrame)
        np.testing.assert_array_equal(np.ravel(labels), expected["prediction"])
        columns = ["probability_False", "probability_True"]
        np.testing.assert_allclose(probabilities, expected[columns], rtol=1e-5, atol=1e-6)


def test_registering_again_packages_nothing_anew(
    packaged: dict[str, tuple[Standard, dict[str, Any]]], progress_lines: list[str]
) -> None:
    run_id = packaged["xgboost"][0].experiment.run_id
    client = open_store()
    before = client.get_metric_history(run_id, "onnx_row_ms")
    assert register(PARAMS, Path(), Registration("Staging", run_id))["version"] == packaged["xgboost"][1]["version"]
    assert "was already packaged" in "\n".join(progress_lines)
    assert client.get_metric_history(run_id, "onnx_row_ms") == before


def test_without_its_test_table_a_run_is_registered_without_a_graph_and_says_why(
    folder: Path, progress_lines: list[str]
) -> None:
    (one,) = run_all(folder, "regression", ["xgboost"])
    test = Path(TEST_TABLE).read_bytes()
    run_id = one.experiment.run_id
    try:
        pd.read_parquet(TEST_TABLE).head(9).to_parquet(TEST_TABLE)
        registered = register(RegisterParams(model_name="unchecked"), folder, Registration("Staging", run_id))
        said = "\n".join(progress_lines)
        assert "registered without ONNX" in said
        assert "is not the table that run" in said
        assert registered["stage"] == "Staging"
        tags = open_store().get_run(run_id).data.tags
        assert tags["onnx"].endswith("so the ONNX graph cannot be checked")
    finally:
        Path(TEST_TABLE).write_bytes(test)
    register(RegisterParams(model_name="unchecked"), folder, Registration("Staging", run_id))
    assert "the ONNX graph matches the model on all 30 test rows" in "\n".join(progress_lines)
