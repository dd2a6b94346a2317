"""The prediction service under load: many connections, slow clients, a model that changes, and nothing lost."""

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
PATIENCE = 1.5  # seconds a client may take to send a request or to read an answer
SLOW = 40  # clients of each kind
MOST_ROWS = 200  # of a request
MOST_GROWTH = 40 * 2**20  # bytes of memory in a few seconds of load: of buffers and of what waits to be written


@dataclass
class Served:
    """A service under load, and what it has answered so far."""

    running: RunningService
    trained: Trained
    requests: Path
    answered: list[tuple[int, str]] = field(default_factory=list)  # model version, prediction id
    loads: int = 0

    @property
    def port(self) -> int:
        return int(self.running.address.rpartition(":")[2])

    @contextmanager
    def asked(self, *options: object) -> Iterator[dict[str, Any]]:
        """Ask from a process of its own while the block runs and as long as `options` say; give what came of it."""
        self.loads += 1
        ids = self.requests.with_name(f"ids-{self.loads}")
        command = [sys.executable, ROOT / "benchmarks" / "load.py", self.port, self.requests, "--ids", ids, *options]
        told: dict[str, Any] = {}
        with subprocess.Popen([str(argument) for argument in command], stdout=subprocess.PIPE, text=True) as load:
            try:
                self._wait_for_answers()
                yield told
                told |= json.loads(load.communicate(timeout=90)[0])
            finally:
                load.kill()
        lines = [line.partition(" ") for line in ids.read_text().splitlines()]
        self.answered += [(int(version), number) for version, _, number in lines]

    def _wait_for_answers(self) -> None:
        before, deadline = self._answered_rows(), time.monotonic() + 60
        while self._answered_rows() == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _answered_rows(self) -> int:
        recording = self.running.health()["recording"]
        return int(recording["queued_rows"] + recording["written_rows"])


@pytest.fixture(scope="module")
def promoted(trained_module: Trained) -> Trained:
    """Put two runs into production: version 2 is there, and both are exported."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(trained_module.folder, monkeypatch)
        for experiment in trained_module.experiments[:2]:
            promote(trained_module, experiment.run_id)
    return trained_module


def promote(trained: Trained, run_id: str) -> None:
    asked = Registration("Production", run_id, force=True, reason="test")
    register(RegisterParams(model_name=NAME), trained.folder, asked)


@pytest.fixture(autouse=True)
def _in_folder(promoted: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(promoted.folder, monkeypatch)


@pytest.fixture(scope="module")
def requests_file(promoted: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write requests of one row and, every tenth, of `MOST_ROWS`."""
    table = pd.read_parquet(promoted.folder / "data/processed/test.parquet").drop(columns="price")
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    bodies = [(8 * rows)[:MOST_ROWS] if place % 10 == 9 else row for place, row in enumerate(rows)]
    path = tmp_path_factory.mktemp("load") / "requests.jsonl"
    path.write_text("".join(json.dumps({"path": "/predict", "body": json.dumps(body)}) + "\n" for body in bodies))
    return path


@pytest.fixture(scope="module")
def served(promoted: Trained, requests_file: Path) -> Iterator[Served]:
    """Serve from the registry, for all tests but the last."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(promoted.folder, monkeypatch)
        settings = {"SERVICE_READ_TIMEOUT_SECONDS": PATIENCE, "SERVICE_POLL_SECONDS": 0.2}
        with service(promoted.folder, 2, MLFLOW_MODEL_NAME=NAME, **settings) as running:
            yield Served(running, promoted, requests_file)


def test_a_thousand_connections_all_get_responses(served: Served) -> None:
    with served.asked("--connections", 1000, "--times", 3) as told:
        pass
    assert told["statuses"] == {"200": 3000}
    assert told["broken"] == 0


def test_slow_clients_are_cut_off_without_delaying_others(served: Served) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    slow = {
        "silent": (b"", b""),
        "head": (b"", head % 500),
        "body": (head % 500, b"[" * 500),
        "large body": (head % 1_000_000, b"[" * 500),
    }
    with (
        served.asked("--connections", 4, "--seconds", 3 * PATIENCE) as told,
        ThreadPoolExecutor(max_workers=200) as pool,
    ):
        ended = {kind: [pool.submit(_drip, served.port, *sent) for _ in range(SLOW)] for kind, sent in slow.items()} | {
            "unread": [pool.submit(_leave_unread, served.port) for _ in range(5)]
        }
        first = {kind: Counter(each.result() for each in futures) for kind, futures in ended.items()}
    assert first == {
        "silent": {"": SLOW},
        "head": {"HTTP/1.1 408 Request Timeout": SLOW},
        "body": {"HTTP/1.1 408 Request Timeout": SLOW},
        "large body": {"HTTP/1.1 408 Request Timeout": SLOW},
        "unread": {"cut off": 5},
    }
    assert set(told["statuses"]) == {"200"}
    assert told["broken"] == 0
    assert told["most_ms"] < 1000 * PATIENCE, told  # no one waited until a slow client was cut off


def _drip(port: int, at_once: bytes, dripped: bytes) -> str:
    """Send byte after byte until the server ends it, and return the first line of its answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20 * PATIENCE) as connection:
        connection.sendall(at_once)
        connection.settimeout(0.05)
        for place in range(len(dripped)):
            try:
                connection.send(dripped[place : place + 1])
                return connection.recv(1000).split(b"\r\n")[0].decode()
            except TimeoutError:
                continue
        connection.settimeout(20 * PATIENCE)
        return connection.recv(1000).split(b"\r\n")[0].decode()


def _leave_unread(port: int) -> str:
    """Ask for more than the system's buffers hold, read nothing for a while, and then all there is."""
    asked = b"GET /openapi.json HTTP/1.1\r\nhost: here\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20 * PATIENCE) as connection:
        connection.sendall(asked)
        answer = connection.recv(2**20)
        length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(answer) < length:
            answer += connection.recv(2**20)
        wanted = 12_000_000 // length
        received = 0
        try:
            connection.sendall(asked * wanted)
            time.sleep(2.5 * PATIENCE)
            while part := connection.recv(2**20):
                received += len(part)
        except (ConnectionError, TimeoutError):  # on a busy machine the end of the connection may not be told
            return "cut off"
    return "cut off" if received < wanted * length / 2 else "answered"


def test_model_changes_under_load(served: Served) -> None:
    with served.asked("--connections", 1, "--seconds", 0.5):
        pass
    assert {version for version, _ in served.answered} == {2}
    before = len(served.answered)
    with served.asked("--connections", 8, "--seconds", 6) as told:
        promote(served.trained, served.trained.experiments[0].run_id)
        served.running.wait_for(1)
        promote(served.trained, served.trained.experiments[1].run_id)
        served.running.wait_for(2)
    assert set(told["statuses"]) == {"200"}
    assert told["broken"] == 0
    assert {version for version, _ in served.answered[before:]} == {1, 2}


def test_memory_stays_stable(served: Served) -> None:
    process = psutil.Process(served.running.process.pid)
    sizes = []
    for _ in range(3):
        with served.asked("--connections", 16, "--seconds", 1.5) as told:
            pass
        assert set(told["statuses"]) == {"200"}
        sizes.append(process.memory_info().rss)
    assert max(sizes) - sizes[0] < MOST_GROWTH


def test_every_prediction_is_recorded_once_when_the_service_stops(served: Served) -> None:
    with served.asked("--connections", 8, "--seconds", 3) as told:
        time.sleep(1)
        served.running.process.send_signal(signal.SIGTERM)  # while it is asked: what is answered is recorded
        served.running.process.wait(timeout=30)
    assert set(told["statuses"]) == {"200"}
    table = read_predictions(served.trained.folder / "data/predictions", NAME)
    versions, ids = (table.column(name).to_pylist() for name in ("model_version", "prediction_id"))
    times = Counter(zip(versions, ids, strict=True))
    assert told["requests"] > 0
    assert {times[answer] for answer in served.answered} == {1}
    assert len(ids) - len(served.answered) <= told["broken"] * MOST_ROWS  # their answers had no one to take them


def test_local_export_changes_under_load(promoted: Trained, requests_file: Path, tmp_path: Path) -> None:
    latest = promoted.folder / "models/production/latest"
    settings = {"ENABLE_MODEL_REGISTRY": "false", "SERVICE_POLL_SECONDS": 0.2, "SERVICE_PREDICTIONS": tmp_path}
    with service(promoted.folder, 2, MLFLOW_MODEL_NAME=NAME, ENABLE_MLFLOW_TRACKING="false", **settings) as running:
        served = Served(running, promoted, requests_file)
        with served.asked("--connections", 8, "--seconds", 3) as told:
            for version in (1, 2):
                link = latest.with_name("next")
                link.symlink_to(f"v{version:03}")
                link.replace(latest)
                running.wait_for(version)
    assert set(told["statuses"]) == {"200"}
    assert told["broken"] == 0
    assert {version for version, _ in served.answered} == {1, 2}
