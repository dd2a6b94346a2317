"""Registered models served by `mlflow models serve`."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests

from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.params.schema import RegisterParams
from pipeline.register.stage import Registration, register
from support.folders import Trained, enter
from support.serving import serve
from support.standard import make_folder, run_all


@pytest.fixture
def served(trained: Trained, tmp_path: Path) -> Iterator[str]:
    """Serve the winner from its Production stage and return the invocations URL."""
    register(RegisterParams(model_name="served-model"), trained.folder, Registration("Production"))
    with serve("models:/served-model/Production", tmp_path) as address:
        yield address
    (trained.folder / "models/production/latest").unlink()
    shutil.rmtree(trained.folder / "models/production/v001")


def test_served_model_predicts_raw_rows(served: str, trained: Trained) -> None:
    def post(rows: list[dict[str, Any]]) -> requests.Response:
        return requests.post(served, json={"dataframe_records": rows}, timeout=30)

    test = pd.read_parquet("data/processed/test.parquet")
    inputs = test.drop(columns="price")
    rows = json.loads(inputs.to_json(orient="records", double_precision=15))
    assert any(row["size <m2>"] is None for row in rows)
    np.testing.assert_array_equal(post(rows).json()["predictions"], trained.experiments[0].fitted.outputs)

    row = {"size <m2>": 80, "rooms": 3, "place": "<1H OCEAN", "garden": True}
    model = mlflow.pyfunc.load_model("models:/served-model@production")
    expected = model.predict(pd.DataFrame([{**row, "size <m2>": 80.0, "rooms": 3.0}]))
    np.testing.assert_array_equal(post([row]).json()["predictions"], expected)
    unseen, missing_text = post([row | {"place": "MOON"}]), post([row | {"place": None}])
    assert unseen.json()["predictions"] == missing_text.json()["predictions"] != post([row]).json()["predictions"]

    assert post([row | {"garden": None}]).ok
    assert post([row | {"garden": "true"}]).json() == post([row]).json()
    assert post([row | {"garden": "perhaps"}]).status_code == 400

    for name in row:
        response = post([{key: value for key, value in row.items() if key != name}])
        assert response.status_code == 400
        assert name in response.text


def test_served_classifier_returns_classes_and_probabilities(
    tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "repository", migrated_database)
    enter(folder, monkeypatch)
    (trained,) = run_all(folder, "binary", ["random_forest"])
    registration = Registration("Production", trained.experiment.run_id)
    version = register(RegisterParams(model_name="served"), folder, registration)["version"]
    rows = [
        {"size <m2>": 180, "rooms": 3, "place": "INLAND", "price": 400_000},
        {"size <m2>": None, "rooms": 3, "place": "MOON", "price": None},
    ]
    with serve(f"models:/served/{version}", tmp_path) as address:
        response = requests.post(address, json={"dataframe_records": rows}, timeout=30)
        refused = requests.post(address, json={"dataframe_records": [{"rooms": 3}]}, timeout=30)
    predictions = response.json()["predictions"]
    model = RawRowsModel(folder / f"models/production/v{version:03d}/model")
    expected = model.predict(pd.DataFrame(rows))
    assert isinstance(expected, pd.DataFrame)
    assert predictions == expected.to_dict("records")
    assert set(predictions[0]) == {"prediction", "probability_False", "probability_True"}
    assert predictions[0]["prediction"] is True
    assert sum(value for name, value in predictions[1].items() if name != "prediction") == pytest.approx(1)
    assert refused.status_code == 400
    assert "size <m2>" in refused.text
