"""The prediction service under load: many connections, slow clients, model changes, memory and recording."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from pipeline.params.schema import RegisterParams
from pipeline.register.stage import Registration, register
from pipeline.service.recording.read import read_predictions
from support.folders import Trained, enter
from support.repositories import ROOT
from support.services import RunningService, service

pytestmark = pytest.mark.xdist_group("service_load")  # share a module-scoped fixture

NAME = "loaded"
READ_TIMEOUT = 1.5  # seconds for a client to send a request or to read a response
N_SLOW = 40  # slow clients of each kind
MAX_ROWS = 200  # in a request
MAX_GROWTH = 40 * 2**20  # bytes of memory in a few seconds of load: buffers and predictions to write


@dataclass
class Served:
    """A service under load and its predictions so far."""

    running: RunningService
    trained: Trained
    requests: Path
    predictions: list[tuple[int, str]] = field(default_factory=list)  # model version, prediction id
    loads: int = 0

    @property
    def port(self) -> int:
        return int(self.running.address.rpartition(":")[2])

    @contextmanager
    def load(self, *options: object) -> Iterator[dict[str, Any]]:
        """Send requests from a separate process during the block; yield the report, which is filled when it ends."""
        self.loads += 1
        ids = self.requests.with_name(f"ids-{self.loads}")
        command = [sys.executable, ROOT / "benchmarks" / "load.py", self.port, self.requests, "--ids", ids, *options]
        report: dict[str, Any] = {}
        with subprocess.Popen([str(argument) for argument in command], stdout=subprocess.PIPE, text=True) as client:
            try:
                self._wait_for_predictions()
                yield report
                report |= json.loads(client.communicate(timeout=90)[0])
            finally:
                client.kill()
        lines = [line.partition(" ") for line in ids.read_text().splitlines()]
        self.predictions += [(int(version), number) for version, _, number in lines]

    def _wait_for_predictions(self) -> None:
        before, deadline = self._predicted_rows(), time.monotonic() + 60
        while self._predicted_rows() == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _predicted_rows(self) -> int:
        recording = self.running.health()["recording"]
        return int(recording["queued_rows"] + recording["written_rows"])


@pytest.fixture(scope="module")
def promoted(trained_module: Trained) -> Trained:
    """Promote two runs one after the other: version 2 is in Production, and both are exported."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(trained_module.folder, monkeypatch)
        for experiment in trained_module.experiments[:2]:
            promote(trained_module, experiment.run_id)
    return trained_module


def promote(trained: Trained, run_id: str) -> None:
    """Promote a run to Production without the gate."""
    registration = Registration("Production", run_id, force=True, reason="test")
    register(RegisterParams(model_name=NAME), trained.folder, registration)


@pytest.fixture(autouse=True)
def _in_folder(promoted: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(promoted.folder, monkeypatch)


@pytest.fixture(scope="module")
def requests_file(promoted: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of requests with one row each; every tenth has `MAX_ROWS` rows."""
    table = pd.read_parquet(promoted.folder / "data/processed/test.parquet").drop(columns="price")
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    bodies = [(8 * rows)[:MAX_ROWS] if index % 10 == 9 else row for index, row in enumerate(rows)]
    path = tmp_path_factory.mktemp("load") / "requests.jsonl"
    path.write_text("".join(json.dumps({"path": "/predict", "body": json.dumps(body)}) + "\n" for body in bodies))
    return path


@pytest.fixture(scope="module")
def served(promoted: Trained, requests_file: Path) -> Iterator[Served]:
    """Serve the model from the registry."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(promoted.folder, monkeypatch)
        settings = {"SERVICE_READ_TIMEOUT_SECONDS": READ_TIMEOUT, "SERVICE_POLL_SECONDS": 0.2}
        with service(promoted.folder, 2, MLFLOW_MODEL_NAME=NAME, **settings) as running:
            yield Served(running, promoted, requests_file)


def test_a_thousand_connections_all_get_responses(served: Served) -> None:
    with served.load("--connections", 1000, "--times", 3) as report:
        pass
    assert report["statuses"] == {"200": 3000}
    assert report["broken"] == 0


def test_slow_clients_are_cut_off_without_delaying_others(served: Served) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    slow = {
        "silent": (b"", b""),
        "head": (b"", head % 500),
        "body": (head % 500, b"[" * 500),
        "large body": (head % 1_000_000, b"[" * 500),
    }
    with (
        served.load("--connections", 4, "--seconds", 3 * READ_TIMEOUT) as report,
        ThreadPoolExecutor(max_workers=200) as pool,
    ):
        futures = {
            kind: [pool.submit(_drip, served.port, *sent) for _ in range(N_SLOW)] for kind, sent in slow.items()
        } | {"unread": [pool.submit(_leave_unread, served.port) for _ in range(5)]}
        outcomes = {kind: Counter(each.result() for each in group) for kind, group in futures.items()}
    assert outcomes == {
        "silent": {"": N_SLOW},
        "head": {"HTTP/1.1 408 Request Timeout": N_SLOW},
        "body": {"HTTP/1.1 408 Request Timeout": N_SLOW},
        "large body": {"HTTP/1.1 408 Request Timeout": N_SLOW},
        "unread": {"cut off": 5},
    }
    assert set(report["statuses"]) == {"200"}
    assert report["broken"] == 0
    assert report["most_ms"] < 1000 * READ_TIMEOUT, report  # no request waited for a slow client to be cut off


def _drip(port: int, head: bytes, rest: bytes) -> str:
    """Send the head at once and the rest byte by byte; return the first line of the response."""
    with socket.create_connection(("127.0.0.1", port), timeout=20 * READ_TIMEOUT) as connection:
        connection.sendall(head)
        connection.settimeout(0.05)
        for index in range(len(rest)):
            try:
                connection.send(rest[index : index + 1])
                return connection.recv(1000).split(b"\r\n")[0].decode()
            except TimeoutError:
                continue
        connection.settimeout(20 * READ_TIMEOUT)
        return connection.recv(1000).split(b"\r\n")[0].decode()


def _leave_unread(port: int) -> str:
    """Request more than the system's buffers hold, read nothing for a while, then read what there is."""
    request = b"GET /openapi.json HTTP/1.1\r\nhost: here\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20 * READ_TIMEOUT) as connection:
        connection.sendall(request)
        response = connection.recv(2**20)
        length = int(response.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(response) < length:
            response += connection.recv(2**20)
        n_requests = 12_000_000 // length
        received = 0
        try:
            connection.sendall(request * n_requests)
            time.sleep(2.5 * READ_TIMEOUT)
            while part := connection.recv(2**20):
                received += len(part)
        except (ConnectionError, TimeoutError):  # on a busy machine the end of the connection may go unnoticed
            return "cut off"
    return "cut off" if received < n_requests * length / 2 else "answered"


def test_model_changes_under_load(served: Served) -> None:
    with served.load("--connections", 1, "--seconds", 0.5):
        pass
    assert {version for version, _ in served.predictions} == {2}
    before = len(served.predictions)
    for seconds in (6, 12, 24):  # longer if the machine is so slow that the load ends before the versions change
        with served.load("--connections", 8, "--seconds", seconds) as report:
            promote(served.trained, served.trained.experiments[0].run_id)
            served.running.wait_for(1)
            promote(served.trained, served.trained.experiments[1].run_id)
            served.running.wait_for(2)
        assert set(report["statuses"]) == {"200"}
        assert report["broken"] == 0
        if {version for version, _ in served.predictions[before:]} == {1, 2}:
            return
    raise AssertionError("version 1 predicted nothing")


def test_memory_stays_stable(served: Served) -> None:
    process = psutil.Process(served.running.process.pid)
    sizes = []
    for _ in range(3):
        with served.load("--connections", 16, "--seconds", 1.5) as report:
            pass
        assert set(report["statuses"]) == {"200"}
        sizes.append(process.memory_info().rss)
    assert max(sizes) - sizes[0] < MAX_GROWTH


def test_every_prediction_is_recorded_once_when_the_service_stops(served: Served) -> None:
    with served.load("--connections", 8, "--seconds", 3) as report:
        time.sleep(1)
        served.running.process.send_signal(signal.SIGTERM)  # under load: every prediction sent must be recorded
        served.running.process.wait(timeout=30)
    assert set(report["statuses"]) == {"200"}
    table = read_predictions(served.trained.folder / "data/predictions", NAME)
    versions, ids = (table.column(name).to_pylist() for name in ("model_version", "prediction_id"))
    times = Counter(zip(versions, ids, strict=True))
    assert report["requests"] > 0
    assert {times[prediction] for prediction in served.predictions} == {1}
    assert len(ids) - len(served.predictions) <= report["broken"] * MAX_ROWS  # predictions whose client was gone


def test_local_export_changes_under_load(promoted: Trained, requests_file: Path, tmp_path: Path) -> None:
    latest = promoted.folder / "models/production/latest"
    settings = {"ENABLE_MODEL_REGISTRY": "false", "SERVICE_POLL_SECONDS": 0.2, "SERVICE_PREDICTIONS": tmp_path}
    with service(promoted.folder, 2, MLFLOW_MODEL_NAME=NAME, ENABLE_MLFLOW_TRACKING="false", **settings) as running:
        served = Served(running, promoted, requests_file)
        with served.load("--connections", 8, "--seconds", 3) as report:
            for version in (1, 2):
                link = latest.with_name("next")
                link.symlink_to(f"v{version:03}")
                link.replace(latest)
                running.wait_for(version)
    assert set(report["statuses"]) == {"200"}
    assert report["broken"] == 0
    assert {version for version, _ in served.predictions} == {1, 2}
