"""A training leaves MLflow's autologging as it found it."""

from pathlib import Path

import mlflow.sklearn
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

from pipeline.store.open import open_experiment, open_store
from pipeline.train.autologging import autologging
from support.folders import enter
from support.standard import make_folder


def test_other_estimators_can_be_autologged_afterwards(
    tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(make_folder(tmp_path / "pipeline", migrated_database), monkeypatch)
    client = open_store()
    experiment_id = open_experiment(client, "autologging")
    X, y = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]}), [1.0, 2.0, 3.0, 5.0]
    forest = RandomForestRegressor(n_estimators=7)
    with (
        mlflow.start_run(experiment_id=experiment_id) as run,
        autologging(forest, "sklearn", {"log_post_training_metrics": False}),
    ):
        Ridge(alpha=3.5).fit(X, y)
        forest.fit(X, y)
    logged = client.get_run(run.info.run_id).data.params
    assert (logged["n_estimators"], "alpha" in logged) == ("7", False)

    mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
    with mlflow.start_run(experiment_id=experiment_id) as run:
        Ridge(alpha=3.5).fit(X, y)
    assert client.get_run(run.info.run_id).data.params["alpha"] == "3.5"
    mlflow.sklearn.autolog(disable=True, silent=True)
