"""The prediction service: model loading and renewal, authentication, recording, tracking and health."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.params.schema import RegisterParams
from pipeline.register.stage import Registration, register
from pipeline.service.models.ab import choose_arm
from pipeline.service.recording.read import read_predictions
from pipeline.store.open import open_store
from support.folders import Trained, enter
from support.repositories import ROOT
from support.servers import PATH, free_port
from support.services import service

pytestmark = pytest.mark.xdist_group("service")  # share a module-scoped fixture

NAME = "served"
LATEST = Path("models/production/latest")


@pytest.fixture(scope="module")
def promoted_module(trained_module: Trained) -> Trained:
    """Promote the three runs of a trained pipeline folder one after the other; version 3 stays in Production."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(trained_module.folder, monkeypatch)
        for experiment in trained_module.experiments:
            promote(trained_module, experiment.run_id)
    return trained_module


@pytest.fixture
def promoted(promoted_module: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Return that folder, as the current folder."""
    enter(promoted_module.folder, monkeypatch)
    monkeypatch.setenv("MLFLOW_MODEL_NAME", NAME)
    monkeypatch.setenv("SERVICE_POLL_SECONDS", "0.2")
    return promoted_module


def promote(trained: Trained, run_id: str) -> None:
    """Promote a run to Production without the gate."""
    registration = Registration("Production", run_id, force=True, reason="test")
    register(RegisterParams(model_name=NAME), trained.folder, registration)


def sample_rows(trained: Trained, count: int) -> pd.DataFrame:
    """Return a sample of the test rows with the input columns."""
    table = pd.read_parquet(trained.folder / "data/processed/test.parquet")
    inputs = list(RawRowsModel(LATEST / "model").transformer.kinds)
    return table[inputs].sample(count, replace=True, random_state=0)


def as_json(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as JSON objects."""
    records: list[dict[str, Any]] = json.loads(rows.to_json(orient="records", double_precision=15))
    return records


def test_service_predicts_as_the_registered_model_and_names_it(promoted: Trained) -> None:
    rows = sample_rows(promoted, 50)
    expected = RawRowsModel(LATEST / "model").predict(rows)
    with service(promoted.folder, 3) as running:
        single = requests.post(f"{running.address}/predict", json=as_json(rows)[0], timeout=10)
        batch = requests.post(f"{running.address}/predict", json=as_json(rows), timeout=10)
        card = requests.get(f"{running.address}/model", timeout=10).json()
        health = running.health()
    assert (single.status_code, batch.status_code) == (200, 200)
    assert set(single.json()) == {"prediction", "model_version", "prediction_id"}
    predictions = [single.json(), *batch.json()]
    np.testing.assert_allclose([each["prediction"] for each in predictions], [expected[0], *expected], rtol=1e-5)
    assert {each["model_version"] for each in predictions} == {3}
    assert len({each["prediction_id"] for each in predictions}) == 51
    assert (health["status"], health["source"], health["warnings"]) == ("ok", "registry", [])
    best = promoted.experiments[-1]
    assert (card["version"], card["stage"], card["run_id"]) == (3, "Production", best.run_id)
    assert card["hashes"]["model_sha256"] == best.model_sha256
    assert card["metrics"]["test_rmse"] == pytest.approx(best.fitted.metrics["test_rmse"])
    assert [column["name"] for column in card["signature"]["inputs"]] == list(rows.columns)
    assert "stopped" in running.log.read_text()
    assert "Warning" not in running.log.read_text()
    assert "Traceback" not in running.log.read_text()


def test_session_is_one_run_and_every_prediction_is_recorded(promoted: Trained) -> None:
    rows = as_json(sample_rows(promoted, 40))
    with service(promoted.folder, 3, MLFLOW_EXPERIMENT_NAME="sessions", SERVICE_TRACKING_SECONDS=1) as running:
        ids = [
            requests.post(f"{running.address}/predict", json=row, timeout=10).json()["prediction_id"] for row in rows
        ]
        rejected = requests.post(f"{running.address}/predict", json={"no": 1}, timeout=10)
    assert rejected.status_code == 422
    recorded = read_predictions(promoted.folder / "data/predictions", NAME)
    assert set(ids) <= set(recorded.column("prediction_id").to_pylist())
    client = open_store()
    experiment = client.get_experiment_by_name("sessions")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["session_total_predictions"] == 40
    assert {"prediction_inference_time_ms", "prediction_value_mean", "drift_detected", "error_rate"} <= set(
        run.data.metrics
    )


def test_promotion_switches_models_without_a_failed_request(promoted: Trained) -> None:
    row = as_json(sample_rows(promoted, 1))[0]
    seen: list[tuple[int, int]] = []
    stop = threading.Event()

    def send_requests(address: str) -> None:
        with requests.Session() as session:
            while not stop.is_set():
                response = session.post(f"{address}/predict", json=row, timeout=10)
                seen.append((response.status_code, response.json().get("model_version")))

    with service(promoted.folder, 3) as running:
        client = threading.Thread(target=send_requests, args=[running.address])
        client.start()
        try:
            promote(promoted, promoted.experiments[0].run_id)
            running.wait_for(1)
        finally:
            promote(promoted, promoted.experiments[-1].run_id)
        running.wait_for(3)
        stop.set()
        client.join()
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} == {1, 3}


def test_intact_export_is_served_without_a_registry(promoted: Trained) -> None:
    model = LATEST.resolve() / "model"
    with service(promoted.folder, 3, ENABLE_MODEL_REGISTRY="false") as running:
        health = running.health()
        assert (health["source"], health["warnings"]) == ("export", [])
        card = requests.get(f"{running.address}/model", timeout=10).json()
        assert (card["version"], card["family"]) == (3, "xgboost")
        # A new export is loaded; a damaged one is not, and the current model stays.
        LATEST.unlink()
        LATEST.symlink_to("v001")
        running.wait_for(1)
        (promoted.folder / "models/production/v002/more").write_text("not exported")
        LATEST.unlink()
        LATEST.symlink_to("v002")
        deadline = time.monotonic() + 60
        while not running.health()["warnings"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "damaged" in running.health()["warnings"][0]
        assert running.health()["model_version"] == 1
        (promoted.folder / "models/production/v002/more").unlink()
        running.wait_for(2)
        LATEST.unlink()
        LATEST.symlink_to("v003")
        running.wait_for(3)
    unreachable = f"http://127.0.0.1:{free_port()}"
    with service(promoted.folder, 3, MLFLOW_TRACKING_URI=unreachable, MLFLOW_HTTP_REQUEST_MAX_RETRIES=1) as running:
        health = running.health()
        assert health["source"] == "export"
        assert "serving the local export of version 3" in health["warnings"][0]
        assert requests.post(f"{running.address}/predict", json=as_json(sample_rows(promoted, 1)), timeout=10).ok
    assert model.exists()


def test_service_without_a_model_starts_and_reports_why(tmp_path: Path) -> None:
    with service(tmp_path, None, ENABLE_MODEL_REGISTRY="false", ENABLE_MLFLOW_TRACKING="false") as running:
        deadline = time.monotonic() + 60
        while "being loaded" in (response := requests.get(f"{running.address}/health", timeout=10)).json()["reason"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert response.status_code == 503
        assert "models/production/latest does not exist" in response.json()["reason"]
        assert "python src/model_register.py --stage Production" in response.json()["reason"]
        for method, path in (("POST", "/predict"), ("POST", "/explain"), ("GET", "/model"), ("GET", "/drift")):
            unavailable = requests.request(method, f"{running.address}{path}", json={}, timeout=10)
            assert unavailable.status_code == 503, path
            assert "GET /health says why" in unavailable.json()["detail"][0]["msg"]
        assert requests.get(f"{running.address}/metrics", timeout=10).ok
        assert requests.get(f"{running.address}/openapi.json", timeout=10).ok


def test_data_endpoints_require_the_api_key(promoted: Trained) -> None:
    secret = "open-sesame-4711"
    with service(promoted.folder, 3, SERVICE_API_KEY=secret, ENABLE_MLFLOW_TRACKING="false") as running:
        row = as_json(sample_rows(promoted, 1))[0]
        for method, path in (
            ("POST", "/predict"), ("POST", "/explain"), ("GET", "/model"), ("GET", "/drift"), ("GET", "/metrics")
        ):  # fmt: skip
            statuses = [
                requests.request(method, f"{running.address}{path}", json=row, headers=headers, timeout=20).status_code
                for headers in ({}, {"X-API-Key": "wrong"}, {"X-API-Key": "ünknown".encode("latin-1")},
                                {"X-API-Key": secret})
            ]  # fmt: skip
            assert statuses == [401, 401, 401, 200], path
        for path in ("/health", "/", "/docs", "/openapi.json"):
            assert requests.get(f"{running.address}{path}", timeout=10).ok, path
    log = running.log.read_text()
    assert secret not in log
    assert "SERVICE_API_KEY" in log


def test_challenger_serves_its_share_and_is_tracked_separately(promoted: Trained) -> None:
    row = as_json(sample_rows(promoted, 1))[0]
    keys = [f"customer {number}" for number in range(200)]
    settings = {"CHALLENGER_VERSION": 2, "CHALLENGER_SHARE": 0.3, "MLFLOW_EXPERIMENT_NAME": "arms"}
    with service(promoted.folder, 3, **settings) as running:
        deadline = time.monotonic() + 60
        while running.health()["challenger_version"] != 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with requests.Session() as session:
            responses = [
                session.post(f"{running.address}/predict", json=row, headers={"X-Request-Key": key}, timeout=10).json()
                for key in keys * 2
            ]
    expected = [2 if choose_arm(key.encode(), 0.3) == "challenger" else 3 for key in keys * 2]
    assert [response["model_version"] for response in responses] == expected
    assert 30 <= expected[:200].count(2) <= 90
    client = open_store()
    experiment = client.get_experiment_by_name("arms")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    totals = {"mlflow.parentRunId" in run.data.tags: run.data.metrics["session_total_predictions"] for run in runs}
    assert totals == {False: expected.count(3), True: expected.count(2)}
    recorded = read_predictions(promoted.folder / "data/predictions", NAME).to_pandas().set_index("prediction_id")
    arms = recorded.loc[[response["prediction_id"] for response in responses], "arm"]
    assert list(arms == "challenger") == [version == 2 for version in expected]


def test_a_service_that_loads_its_model_says_when_to_retry(promoted: Trained, tmp_path: Path) -> None:
    row = as_json(sample_rows(promoted, 1))[0]
    off = {"ENABLE_MLFLOW_TRACKING": "false"}
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the registry, which delays the start
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        slow = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_TIMEOUT": 3}
        with service(promoted.folder, None, **off, **slow) as running:
            early = [requests.get(f"{running.address}/health", timeout=10)]
            early.append(requests.post(f"{running.address}/predict", json=row, timeout=10))
            running.wait_for(3)
            later = requests.post(f"{running.address}/predict", json=row, timeout=10)
    assert [(response.status_code, response.headers.get("Retry-After")) for response in early] == [(503, "2")] * 2
    assert (early[0].json()["status"], early[0].json()["reason"]) == ("loading", "the model is being loaded")
    (detail,) = early[1].json()["detail"]
    assert (detail["type"], detail["msg"]) == (
        "loading", "the model is being loaded: send the request again in 2 seconds"
    )  # fmt: skip
    assert (later.status_code, later.headers.get("Retry-After")) == (200, None)

    with service(tmp_path, None, ENABLE_MODEL_REGISTRY="false", **off) as running:
        while running.health()["status"] == "loading":
            time.sleep(0.05)
        missing = requests.post(f"{running.address}/predict", json=row, timeout=10)
        health = running.health()
    assert (missing.status_code, missing.headers.get("Retry-After")) == (503, None)
    assert missing.json()["detail"][0]["type"] == "no_model"
    assert health["status"] == "no model"
    assert "latest does not exist" in health["reason"]


def test_silent_registry_falls_back_to_the_export(promoted: Trained) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://someone:pass-4711@127.0.0.1:{silent.getsockname()[1]}"
        with service(promoted.folder, 3, MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_TIMEOUT=2) as running:
            health = running.health()
            assert health["source"] == "export"
            assert "serving the local export of version 3" in health["warnings"][0]
            assert "pass-4711" not in json.dumps(health)
        assert "pass-4711" not in running.log.read_text()


def test_port_in_use_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = subprocess.run(
            [sys.executable, str(ROOT / "src/serve.py")],
            cwd=tmp_path, env=os.environ | {"SERVICE_PORT": str(port), "PATH": PATH}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1, port {port}" in done.stderr


def test_killed_session_is_ended_and_keeps_its_predictions(promoted: Trained) -> None:
    row = as_json(sample_rows(promoted, 1))[0]
    settings = {"MLFLOW_EXPERIMENT_NAME": "killed", "SERVICE_TRACKING_SECONDS": 0.5}
    with service(promoted.folder, 3, **settings) as running:
        prediction_id = requests.post(f"{running.address}/predict", json=row, timeout=10).json()["prediction_id"]
        deadline = time.monotonic() + 60
        while running.health()["tracking"]["run_id"] is None or not running.health()["recording"]["written_rows"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
    assert (
        prediction_id
        in read_predictions(promoted.folder / "data/predictions", NAME).column("prediction_id").to_pylist()
    )
    with service(promoted.folder, 3, **settings) as running:
        deadline = time.monotonic() + 60
        while running.health()["tracking"]["state"] != "ok":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    client = open_store()
    experiment = client.get_experiment_by_name("killed")
    assert experiment is not None
    statuses = sorted(run.info.status for run in client.search_runs([experiment.experiment_id]))
    assert statuses == ["FAILED", "FINISHED"]
