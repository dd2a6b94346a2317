"""Tables whose only inputs are texts, and tables with encoded users, are trained, registered and served."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.params.load import load_params
from pipeline.params.schema import MonitorParams
from pipeline.prepare.stage import prepare
from pipeline.register.stage import Registration, register
from pipeline.scaffold.infer import infer
from pipeline.service.drift.monitor import Monitor
from pipeline.service.models.loading import find_in_exports, load_model
from pipeline.service.models.served import ServedModel
from pipeline.service.records import PredictionRecord
from pipeline.service.requests.json_body import parse_json
from pipeline.service.settings import Settings
from pipeline.train.stage import Training, train
from support.folders import enter, make_pipeline_folder
from support.repositories import change_params
from support.standard import TRAIN

WORDS = np.array(["crisp", "flat", "rich", "sour", "cherry", "oak", "thin", "long", "sweet", "dull"])
N_ROWS = 300


def make_texts() -> pd.DataFrame:
    """Return wine reviews by 30 users, where some words and the user tell the points."""
    rng = np.random.default_rng(0)
    words, users = rng.choice(WORDS, (N_ROWS, 7)), rng.integers(1000, 1030, N_ROWS)
    points = 80 + 4 * (words == "rich").sum(axis=1) - 4 * (words == "dull").sum(axis=1) + rng.normal(0, 0.5, N_ROWS)
    reviews = [f"{' '.join(row)} no {number}" for number, row in enumerate(words)]
    return pd.DataFrame({"review": reviews, "user_id": users, "points": points + users % 7})


def train_table(folder: Path, table: pd.DataFrame, features: dict[str, Any], **dataset: Any) -> Training:
    """Train all families, and promote the winner to Production."""
    table.to_csv(folder / "data.csv", index=False)
    dataset = {"path": "data.csv", "target": "points", "task": "regression"} | dataset
    change_params(folder, dataset=dataset, features=features, train=TRAIN)
    params = load_params()
    prepare(params.dataset, folder, features=params.features)
    training = train(params, folder)
    register(params.registry, folder, Registration("Production"))
    return training


def load_production() -> ServedModel:
    settings = Settings(mlflow_model_name="small-model")
    model, _ = load_model(find_in_exports(Path(), settings, None), None)
    return model


@pytest.fixture
def folder(tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_pipeline_folder(tmp_path / "pipeline", migrated_database)
    enter(folder, monkeypatch)
    return folder


@pytest.mark.usefixtures("_without_figures")
def test_a_table_of_texts_alone_is_trained_and_served(folder: Path) -> None:
    table = make_texts()[["review", "points"]]
    inferred = infer(table, "points", "data.csv")
    training = train_table(folder, table, inferred.features_params.model_dump(exclude_defaults=True))
    xgboost = next(experiment for experiment in training.experiments if experiment.family == "xgboost")
    metrics = xgboost.fitted.metrics
    assert metrics["test_rmse"] < 0.8 * metrics["baseline_rmse"]
    model = load_production()
    body = b'[{"review": "rich rich rich cherry"}, {"review": "dull, dull"}, {"review": null}]'
    rows = parse_json(model.schema, body, 3)
    good, bad, _ = model.predict(rows.columns, rows.n_rows).predictions
    assert good > bad
    test = pd.read_parquet("data/processed/test.parquet")
    monitor = Monitor(MonitorParams(min_rows=20), None)
    columns, ids = {"review": list(test["review"])}, [str(number) for number in range(len(test))]
    outputs = model.predict(columns, len(ids))
    monitor.add([PredictionRecord(0.0, ids, "production", model.identity, columns, outputs, 1.0)])
    monitor.check(model)
    report = monitor.report()
    assert {column["kind"] for column in report["columns"]} == {"free_text"}
    assert not report["alarms"]


@pytest.mark.usefixtures("_without_figures")
def test_numeric_users_are_encoded_and_served(folder: Path) -> None:
    features = {"target_encoding": ["user_id"], "text": ["review"]}
    training = train_table(folder, make_texts(), features, categorical=["user_id"])
    model = load_production()
    assert model.schema.numeric_texts == {"user_id"}
    bodies = [b'[{"review": "flat", "user_id": %s}]' % user for user in (b"1003", b"1003.0", b'"1003"', b"1", b"null")]
    parsed = [parse_json(model.schema, body, 1) for body in bodies]
    known, *same, unseen, missing = [model.predict(rows.columns, 1).predictions[0] for rows in parsed]
    assert same == [known, known]
    assert np.isfinite([unseen, missing]).all()
    test = pd.read_parquet("data/processed/test.parquet")
    predicted = model.raw.predict(test)
    np.testing.assert_allclose(predicted, training.winner.fitted.outputs)
