"""The model family lightgbm: trained, registered, verified, loaded and served; its package is optional."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import joblib
import mlflow
import numpy as np
import pandas as pd
import pytest

from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.learn.families import is_installed
from pipeline.service.models.engine import to_columns
from pipeline.service.models.explain import explain
from pipeline.service.models.loading import find_in_exports, find_in_registry, load_model
from pipeline.service.settings import load_settings
from pipeline.store.open import open_store
from support.folders import SMALL
from support.repositories import ROOT, change_params, pins

needs_lightgbm = pytest.mark.skipif(not is_installed("lightgbm"), reason="lightgbm is not installed")


@needs_lightgbm
@pytest.mark.usefixtures("_without_figures")
def test_a_model_of_lightgbm_is_trained_registered_and_served(
    pipeline_folder: Path, call: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    models = {"models": ["lightgbm"], "params": {"lightgbm": {"min_child_samples": 3}}}
    change_params(pipeline_folder, train={"experiment_name": "small", **SMALL, **models})
    for script in ("prepare", "model_train"):
        assert call(script) == 0, capfd.readouterr().err
    printed = capfd.readouterr()
    assert "rounds, cv_rmse" in printed.out
    assert "LightGBM" not in printed.out + printed.err

    assert call("model_register", "--stage", "Production") == 0
    assert "registered without ONNX: LGBMRegressor has no counterpart in ONNX" in capfd.readouterr().out
    assert call("model_register", "--verify") == 0
    check_export(pipeline_folder / "models/production/latest")
    check_served(pipeline_folder)


def check_export(export: Path) -> None:
    metadata = json.loads((export / "metadata.json").read_text())
    required = pins((export / "model/requirements.txt").read_text())
    assert required.items() >= pins((ROOT / "requirements-lightgbm.txt").read_text()).items()
    assert metadata["packages"]["lightgbm"] == required["lightgbm"]
    rows = pd.read_parquet("data/processed/test.parquet")
    expected = joblib.load(export / "model.pkl")
    assert (metadata["family"], type(expected).__name__) == ("lightgbm", "LGBMRegressor")
    assert expected.min_child_samples == 3
    features = RawRowsModel(export / "model").transformer.transform(rows, only=metadata["feature_names"])
    loaded = mlflow.pyfunc.load_model(str(export / "model"))
    np.testing.assert_array_equal(loaded.predict(rows), expected.predict(features))


def check_served(folder: Path) -> None:
    """Compare predictions of the service, from registry and export, and their explanations."""
    settings, client, rows = load_settings("small-model"), open_store(), pd.read_parquet("data/processed/test.parquet")
    for source in (find_in_registry(client, settings, None), find_in_exports(folder, settings, None)):
        model, warnings = load_model(source, client)
        assert (model.family, warnings) == ("lightgbm", [])
        columns = to_columns(rows, model.raw.transformer)
        predictions = model.predict(columns, len(rows)).predictions
        np.testing.assert_array_equal(predictions, model.raw.predict(rows))
        (explanation,) = explain(model, {name: values[:1] for name, values in columns.items()}, 1)
        assert explanation["base_value"] + sum(explanation["shap_values"].values()) == pytest.approx(predictions[0])


@pytest.mark.parametrize("script", ["model_train", "train"])
def test_without_the_package_the_message_names_the_command_that_installs_it(
    script: str,
    pipeline_folder: Path,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)  # importing it fails
    change_params(pipeline_folder, train={"experiment_name": "small", **SMALL, "models": ["xgboost", "lightgbm"]})
    assert call("prepare") == 0
    arguments = ("data.csv", "--target", "price", "--model", "lightgbm") if script == "train" else ()
    assert call(script, *arguments) == 2
    error = capsys.readouterr().err
    assert "lightgbm is not installed" in error
    assert error.endswith("\n  -> pip install -r requirements-lightgbm.txt\n")
    assert not open_store().search_experiments(filter_string="name = 'small'")
