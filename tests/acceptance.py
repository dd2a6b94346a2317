"""Acceptance checks of a clone after `dvc repro` with the default params; .ci/run runs them in that clone."""

import json
import sqlite3
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from pipeline.datasets.simulated_housing import best_rmse, simulate
from pipeline.learn.search_space import default_candidates
from pipeline.params.load import load_params
from pipeline.store.open import open_store
from pipeline.support.files import sha256
from support.repositories import shell

NAME = "housing-price-production"
# The default search stays below this on the real table, in dollars, also with another random split.
REAL_RMSE = 43_000


@pytest.fixture(autouse=True)
def _store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the store of the clone."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{Path.cwd() / 'mlruns' / 'mlflow.db'}")
    open_store()


def test_model_reaches_the_expected_quality() -> None:
    metrics = json.loads(Path("mlartifacts/training/best_metrics.json").read_text())
    simulated = load_params().dataset.path == "data/raw/housing.csv"
    bound = 1.12 * best_rmse(simulate().price) if simulated else REAL_RMSE
    assert metrics["test_rmse"] < bound
    assert metrics["cv_rmse_mean"] < bound


def test_every_search_candidate_is_a_finished_run() -> None:
    with sqlite3.connect("file:mlruns/mlflow.db?mode=ro", uri=True) as database:
        runs = database.execute("select name, status from runs").fetchall()
    assert {status for _, status in runs} == {"FINISHED"}
    profile = json.loads(Path("mlartifacts/prepare/data_profile.json").read_text())
    candidates = default_candidates(profile["rows"]["train"])
    for experiment, expected in (("exp1_tuned", candidates), ("exp3_tuned_selected", candidates // 2)):
        assert len([name for name, _ in runs if name.startswith(f"{experiment}_candidate")]) == expected


def test_second_repro_does_nothing() -> None:
    assert "Running stage" not in shell(Path.cwd(), "dvc", "repro")


def test_documented_command_promotes_the_winner_to_production() -> None:
    shell(Path.cwd(), "python", "src/model_register.py", "--stage", "Production")
    info = json.loads(Path("mlartifacts/training/best_model_info.json").read_text())
    model = mlflow.pyfunc.load_model(f"models:/{NAME}@production")
    export = Path("models/production/latest")
    metadata = json.loads((export / "metadata.json").read_text())
    assert metadata["run_id"] == info["mlflow_run_id"]
    assert all(sha256(export / name) == digest for name, digest in metadata["files"].items())
    assert sha256(export / "model" / "model.ubj") == info["model_sha256"]

    rows = pd.read_parquet("data/processed/test.parquet").drop(columns="median_house_value")
    unusual = rows.assign(ocean_proximity="MOON", total_bedrooms=np.nan)
    for table in (rows, unusual):
        exported = mlflow.pyfunc.load_model(str(export / "model")).predict(table)
        np.testing.assert_array_equal(exported, model.predict(table))
        assert np.isfinite(exported).all()
