"""The pipeline on an MLflow server with PostgreSQL, S3 and basic authentication, as deploy/ runs it.

Clients get MLFLOW_TRACKING_URI, a user and a password, and nothing else.
"""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests

from pipeline.params.load import load_params
from pipeline.prepare.stage import prepare
from pipeline.service.recording.read import read_predictions
from pipeline.store.open import open_store
from pipeline.store.stale_runs import end_stale_runs
from pipeline.store.ui import how_to_view
from pipeline.support.processes import owner_tags
from pipeline.train.experiments import ExperimentRun
from pipeline.train.stage import train
from support.figures import without_figures
from support.folders import SMALL, make_pipeline_folder
from support.repositories import change_params, commit
from support.servers import S3_CLIENT, Server, compose_environment, mlflow_server, s3_client
from support.services import service
from support.zygote import Zygote

pytestmark = pytest.mark.xdist_group("server_store")  # share a module-scoped fixture

TRAINER, READER, PASSWORD = "trainer", "reader", "a password of 28 characters"
DIRECT = "small-direct"  # an experiment whose files clients write directly to S3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running server with an admin and two users with the default permissions."""
    with mlflow_server(tmp_path_factory.mktemp("server")) as started:
        admin = (started.admin["USERNAME"], started.admin["PASSWORD"])
        for name in (TRAINER, READER):
            user = {"username": name, "password": PASSWORD}
            requests.post(f"{started.address}/api/2.0/mlflow/users/create", json=user, auth=admin).raise_for_status()
        yield started
        assert [path.name for path in (started.folder / "empty").rglob("*")] == []  # no files outside PostgreSQL and S3


def sign_in(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the server as the store, without S3 credentials, and change to `folder`."""
    for name in S3_CLIENT:
        monkeypatch.delenv(name, raising=False)
    for name, value in server.as_user(TRAINER, PASSWORD).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def first(
    server: Server, tmp_path_factory: pytest.TempPathFactory, migrated_database: Path
) -> tuple[Path, list[ExperimentRun]]:
    """Return a pipeline folder and the experiments of its first training, on the server."""
    folder = make_pipeline_folder(tmp_path_factory.mktemp("on_server") / "repository", migrated_database)
    with pytest.MonkeyPatch.context() as monkeypatch:
        sign_in(server, folder, monkeypatch)
        params = load_params()
        prepare(params.dataset, folder)
        output = io.StringIO()
        with redirect_stdout(output), without_figures():
            experiments = train(params, folder).experiments
        assert "://" not in output.getvalue()  # MLflow must not print the address of each run
        return folder, experiments


@pytest.fixture
def folder(first: tuple[Path, list[ExperimentRun]], server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the trained pipeline folder, as the current folder, with the server as its store."""
    sign_in(server, first[0], monkeypatch)
    return first[0]


def keys(server: Server, prefix: str) -> set[str]:
    """Return the names of the files in the server's bucket below a prefix."""
    pages = s3_client(server.s3).get_paginator("list_objects_v2").paginate(Bucket="mlflow", Prefix=prefix)
    return {item["Key"].rpartition("/")[2] for page in pages for item in page.get("Contents", [])}


def test_training_is_recorded_on_the_server(
    folder: Path, first: tuple[Path, list[ExperimentRun]], server: Server
) -> None:
    client = open_store()
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    assert experiment.artifact_location.startswith("mlflow-artifacts:/")
    assert how_to_view("small") == f"{server.address}/#/experiments/{experiment.experiment_id}"
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 3 + 2 + 1 + 3 * 3  # experiments; candidates of the two that search; folds

    for trained in first[1]:
        run = client.get_run(trained.run_id)
        assert run.data.metrics["test_rmse"] == trained.fitted.metrics["test_rmse"]
        assert len(run.inputs.dataset_inputs) == 2
        assert [output.model_id for output in run.outputs.model_outputs] == [trained.model_id]
        listed = {item.path for item in client.list_artifacts(trained.run_id)}
        assert {"params.yaml", "environment.json", "data_profile.json", "residuals.png"} <= listed
        assert listed <= keys(server, f"{experiment.experiment_id}/{trained.run_id}/artifacts")
        logged = client.get_logged_model(trained.model_id)
        assert str(logged.status) == "READY"
        stored = keys(server, f"{experiment.experiment_id}/models/{trained.model_id}/artifacts")
        assert {"MLmodel", "model.ubj", "features.json", "raw_rows_model.py"} <= stored
    # With the server in a container, clients could not reach the S3 store of a presigned URL.
    assert "/presigned/" not in (server.folder / "mlflow.log").read_text()
    with (folder / "mlruns" / "mlflow.db").open("rb") as local_database:
        assert b"exp1_tuned" not in local_database.read()


def test_version_is_promoted_and_rolled_back(
    folder: Path,
    first: tuple[Path, list[ExperimentRun]],
    server: Server,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert call("model_register", "--stage", "Production") == 0
    latest = folder / "models" / "production" / "latest"
    assert os.readlink(latest) == "v001"
    rows = pd.read_parquet(folder / "data" / "processed" / "test.parquet").drop(columns="price")
    exported = mlflow.pyfunc.load_model(str(latest / "model")).predict(rows)
    for name in ("small-model/Production", "small-model@production", "small-model/1"):
        np.testing.assert_array_equal(mlflow.pyfunc.load_model(f"models:/{name}").predict(rows), exported)

    # The second training writes its files directly to S3, so the client needs the S3 credentials.
    for name, value in {**S3_CLIENT, "MLFLOW_S3_ENDPOINT_URL": server.s3}.items():
        monkeypatch.setenv(name, value)
    client = open_store()
    client.create_experiment(DIRECT, artifact_location="s3://mlflow/direct")
    change_params(folder, train={"experiment_name": DIRECT, **SMALL, "seed": 7})
    commit(folder, "another seed")
    with without_figures():
        second = train(load_params(), folder).winner
    assert {"MLmodel", "features.json"} <= keys(server, f"direct/models/{second.model_id}/artifacts")
    assert call("model_register", "--stage", "Production", "--force", "--reason", "tried on the server") == 0
    assert os.readlink(latest) == "v002"
    capsys.readouterr()

    assert call("model_register", "--verify") == 0, capsys.readouterr().out
    assert call("model_register", "--rollback", "--reason", "a bad day") == 0
    assert os.readlink(latest) == "v001"
    assert call("model_register", "--verify", "1") == 0, capsys.readouterr().out
    assert call("model_register", "--list") == 0
    assert call("model_register", "--history") == 0
    printed = capsys.readouterr().out
    assert "tried on the server" in printed
    assert "a bad day" in printed
    model = client.get_registered_model("small-model")
    assert model.aliases == {"production": "1"}
    stages = {
        version.version: version.current_stage for version in client.search_model_versions("name = 'small-model'")
    }
    assert stages == {"1": "Production", "2": "Archived"}


def test_deployed_service_serves_production_as_a_separate_user(folder: Path, server: Server, tmp_path: Path) -> None:
    environment = compose_environment("service")
    password, key = environment["MLFLOW_TRACKING_PASSWORD"], environment["SERVICE_API_KEY"]
    user = {"username": environment["MLFLOW_TRACKING_USERNAME"], "password": password}
    admin = (server.admin["USERNAME"], server.admin["PASSWORD"])
    requests.post(f"{server.address}/api/2.0/mlflow/users/create", json=user, auth=admin).raise_for_status()
    # As in the container: the image has params.yaml, and only the address of the store is configured.
    shutil.copy(folder / "params.yaml", tmp_path)
    environment |= {"MLFLOW_TRACKING_URI": server.address, "MLFLOW_MODEL_NAME": "small-model"}
    row = {"size <m2>": 80, "rooms": 3, "place": "INLAND", "garden": True}
    with service(tmp_path, 1, **environment | {"SERVICE_HOST": "127.0.0.1", "HOME": str(tmp_path)}) as started:
        assert requests.post(f"{started.address}/predict", json=row, timeout=30).status_code == 401
        response = requests.post(f"{started.address}/predict", json=row, headers={"X-API-Key": key}, timeout=30)
        assert response.json()["model_version"] == 1
    log = started.log.read_text()
    assert password not in log
    assert key not in log
    assert read_predictions(tmp_path / "data" / "predictions", "small-model")["prediction_id"].to_pylist() == [
        response.json()["prediction_id"]
    ]
    client = open_store()
    experiment = client.get_experiment_by_name("small-model-serving")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.data.metrics["session_total_predictions"]) == ("FINISHED", 1)


def test_user_without_permission_changes_nothing(
    folder: Path,
    first: tuple[Path, list[ExperimentRun]],
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = open_store()
    before = [dict(version) for version in client.search_model_versions("name = 'small-model'")]
    latest = os.readlink(folder / "models" / "production" / "latest")
    assert before
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", READER)
    arguments = ("--run-id", first[1][2].run_id, "--stage", "Production", "--force", "--reason", "mine is better")
    assert call("model_register", *arguments) == 2
    assert "Permission denied" in capsys.readouterr().err
    assert [dict(version) for version in client.search_model_versions("name = 'small-model'")] == before
    assert os.readlink(folder / "models" / "production" / "latest") == latest


def test_concurrent_registrations_from_two_machines_are_all_kept(
    folder: Path, first: tuple[Path, list[ExperimentRun]], tmp_path: Path, migrated_database: Path, zygote: Zygote
) -> None:
    # Like two machines, two clones share no lock file.
    clones = [make_pipeline_folder(tmp_path / name, migrated_database) for name in ("here", "there")]
    run_ids = [trained.run_id for trained in first[1][1:]]
    for clone in clones:
        change_params(clone, register={"model_name": "at-once", "stage": "Staging"})
    started = [
        zygote.start(clone, "model_register", "--run-id", run_id) for clone, run_id in zip(clones, run_ids, strict=True)
    ]
    ended = [zygote.wait(script) for script in started]
    assert [code for code, _ in ended] == [0, 0], ended
    client = open_store()
    versions = client.search_model_versions("name = 'at-once'")
    assert {version.version: version.status for version in versions} == {"1": "READY", "2": "READY"}
    assert {version.run_id for version in versions} == set(run_ids)
    assert sorted(version.current_stage for version in versions) == ["Archived", "Staging"]
    staging = next(version for version in versions if version.current_stage == "Staging")
    assert client.get_registered_model("at-once").aliases == {"staging": staging.version}


def test_only_runs_of_dead_processes_are_ended(folder: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    client = open_store()
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    tags = {
        "dead": owner_tags() | {"pid": str(ended.pid)},
        "alive": owner_tags(),
        "elsewhere": owner_tags() | {"host": "another", "pid": str(ended.pid)},
        "untagged": {},
    }
    runs = {name: client.create_run(experiment.experiment_id, tags=owner).info.run_id for name, owner in tags.items()}
    end_stale_runs(client)
    status = {name: client.get_run(run_id).info.status for name, run_id in runs.items()}
    assert status == {"dead": "FAILED", "alive": "RUNNING", "elsewhere": "RUNNING", "untagged": "RUNNING"}
    for run_id in runs.values():
        client.delete_run(run_id)


def failed_training(folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> tuple[str, float]:
    """Check that the training fails with one clear error; return the error and the seconds it took."""
    capsys.readouterr()
    started = time.monotonic()
    assert call("model_train") == 2
    seconds = time.monotonic() - started
    error = capsys.readouterr().err
    assert re.match(r"error: the MLflow store \S+ cannot be used: ", error), error
    assert len(error.splitlines()) == 2, error
    assert PASSWORD not in error
    assert PASSWORD.replace(" ", "%20") not in error
    return error, seconds


def test_wrong_password_raises_one_error_without_the_password(
    folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong-but-secret")
    error, _ = failed_training(folder, call, capsys)
    assert "MLFLOW_TRACKING_PASSWORD" in error
    assert "wrong-but-secret" not in error
    address = os.environ["MLFLOW_TRACKING_URI"].replace("http://", f"http://{TRAINER}:wrong-but-secret@")
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert "wrong-but-secret" not in failed_training(folder, call, capsys)[0]


def test_unreachable_or_silent_server_fails_within_seconds(
    folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")  # the default is 20 seconds
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{TRAINER}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{address}")
        error, seconds = failed_training(folder, call, capsys)
        assert "the server is not reachable (no response within 2 seconds)" in error
        assert seconds < 20
    error, seconds = failed_training(folder, call, capsys)
    assert "the server is not reachable" in error
    assert seconds < 20
