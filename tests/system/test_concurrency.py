"""Concurrent registrations and trainings on one store, while a client reads it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import yaml

from pipeline.register.export.files import export_problems
from pipeline.register.history import history
from pipeline.store.open import open_store
from support.folders import Trained
from support.zygote import Forked, Zygote

EXPORTS = Path("models/production")


@pytest.fixture
def folder(trained: Trained) -> Path:
    """Return the trained pipeline folder, as the current folder."""
    return trained.folder


def name_model(name: str) -> None:
    """Set the registered model name in params.yaml and remove all exports."""
    content = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(content | {"register": {"model_name": name}}))
    shutil.rmtree(EXPORTS, ignore_errors=True)


@pytest.mark.parametrize("numbers", [(0, 0), (0, 1), (0, 0, 0, 0), (0, 1, 2, 1)])
def test_concurrent_registrations_are_all_kept(
    folder: Path,
    trained_module: Trained,
    zygote: Zygote,
    told: Callable[[str], None],
    numbers: tuple[int, ...],
) -> None:
    name = "at-once-" + "-".join(map(str, numbers))
    name_model(name)
    runs = [trained_module.experiments[number].run_id for number in numbers]
    command = ("model_register", "--stage", "Production", "--force", "--reason", "at once", "--run-id")
    started = [zygote.start(folder, *command, run_id) for run_id in runs]
    ended = [zygote.wait(script) for script in started]
    assert [code for code, _ in ended] == [0] * len(runs), ended

    client = open_store()
    versions = client.search_model_versions(f"name = '{name}'")
    assert {version.run_id for version in versions} == set(runs)
    assert sorted(int(version.version) for version in versions) == list(range(1, len(set(runs)) + 1))
    (production,) = [version for version in versions if version.current_stage == "Production"]
    assert client.get_registered_model(name).aliases == {"production": production.version}
    assert (EXPORTS / "latest").readlink() == Path(f"v{int(production.version):03d}")
    assert not [damage for export in EXPORTS.glob("v*") for damage in export_problems(export)]
    moves = history(client, name)
    assert all(move.done for move in moves)
    assert moves[-1].version == int(production.version)
    told(f"{len(runs)} concurrent registrations of {len(set(runs))} runs: {len(versions)} versions created")


def test_two_concurrent_trainings_while_a_client_reads(
    folder: Path, zygote: Zygote, tmp_path: Path, told: Callable[[str], None]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other, symlinks=True)
    client = open_store()
    experiment_id = str(client.get_experiment_by_name("small").experiment_id)
    before = {run.info.run_id for run in client.search_runs([experiment_id])}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = ["mlflow", "server", "--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"], "--workers", "1"]
    lean = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # saves eight processes
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", address.rpartition(":")[2]], env=lean, stdout=log, stderr=log
        )
    try:
        _wait_for(address)
        started = [zygote.start(path, "model_train") for path in (folder, other)]
        statuses = _read_until_ended(address, experiment_id, started)
        ended = [zygote.wait(script) for script in started]
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert [code for code, _ in ended] == [0, 0], ended
    assert statuses
    assert set(statuses) == {200}, (tmp_path / "server.log").read_text()

    runs = [run for run in client.search_runs([experiment_id]) if run.info.run_id not in before]
    experiments = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(experiments) == 6
    hashes = {(run.info.run_name, run.data.tags["model_sha256"]) for run in experiments}
    assert len(hashes) == 3, "the same data and params gave different models"
    told(f"2 concurrent trainings: {len(runs)} runs FINISHED while the server answered {len(statuses)} requests")


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            return requests.get(f"{address}/health", timeout=5).raise_for_status()
        except requests.ConnectionError:
            assert time.monotonic() < deadline
            time.sleep(0.3)


def _read_until_ended(address: str, experiment_id: str, scripts: list[Forked]) -> list[int]:
    """Search the runs on a server until all scripts have ended and return the HTTP status codes."""
    statuses: list[int] = []
    while any(script.poll() is None for script in scripts):
        body = {"experiment_ids": [experiment_id]}
        statuses.append(requests.post(f"{address}/api/2.0/mlflow/runs/search", json=body, timeout=30).status_code)
        time.sleep(0.1)
    return statuses
