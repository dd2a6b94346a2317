"""Tracking with an unreachable or silent server, and after a kill."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.service.tracking import tracking_run
from pipeline.service.tracking.statistics import Statistics
from pipeline.store.open import open_store
from support.repositories import ROOT
from support.servers import free_port, is_reachable, run_server
from support.tracking import LABELS, history, model, request, session, wait_until


@contextmanager
def silent_server(port: int) -> Iterator[None]:
    """Run a server that accepts connections and never responds."""
    connections = []
    with socket.create_server(("127.0.0.1", port)) as listener:

        def accept() -> None:
            while True:
                try:
                    connections.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in connections:
                connection.close()


def test_points_are_queued_while_the_server_is_unreachable(
    pipeline_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking_run, "LONGEST_PAUSE", 1.0)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = ["mlflow", "server", "--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"], "--workers", "1"]
    command += ["--artifacts-destination", str(tmp_path / "files"), "--host", "127.0.0.1", "--port", str(port)]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

    def server(log: str) -> Any:
        lean = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # saves eight processes
        return run_server(command, tmp_path / log, lambda: is_reachable(f"{address}/health"), lean, tmp_path)

    statistics = Statistics(10, 60)
    tracking = session({"production": statistics}, max_points=30)
    n_predictions = 0

    def add_predictions(n_points: int) -> None:
        nonlocal n_predictions
        for _ in range(n_points):
            statistics.add([request(model(LABELS), [[0.7, 0.2, 0.1]])])
            n_predictions += 1
            time.sleep(0.06)

    tracking.start()  # before the server starts
    add_predictions(10)
    wait_until(lambda: tracking.state()["state"] == "retrying")
    assert address in tracking.state()["error"]
    assert tracking.state()["queued_points"] >= 5
    with server("first.log"):
        wait_until(lambda: tracking.state()["state"] == "ok" and tracking.state()["queued_points"] == 0)
        run_id = tracking.state()["run_id"]
        assert sum(value for _, value in history(run_id, "prediction_count")) == n_predictions
    add_predictions(10)
    wait_until(lambda: tracking.state()["state"] == "retrying")
    with server("second.log"):
        wait_until(lambda: tracking.state()["state"] == "ok" and tracking.state()["queued_points"] == 0)
        assert tracking.state()["run_id"] == run_id
        assert tracking.state()["dropped_points"] == 0
        points = history(run_id, "prediction_count")
        assert sum(value for _, value in points) == n_predictions
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps))  # each point once
        assert [
            record.message
            for record in caplog.records
            if "is retried" in record.message or "available again" in record.message
        ]
    add_predictions(40)
    state = tracking.state()
    assert state["queued_points"] == 30  # the newest points
    assert state["dropped_points"] >= 5
    with silent_server(port):
        add_predictions(2)
        started = time.monotonic()
        tracking.stop(1.0)
        assert time.monotonic() - started < 10  # the MLflow client waits 20 seconds and retries
    assert tracking.state()["queued_points"] == 0
    assert tracking.state()["dropped_points"] >= state["dropped_points"] + 30
    assert "the run was not ended" in caplog.records[-1].message


def start_script(body: str, uri: str) -> "subprocess.Popen[str]":
    """Start a process that runs a tracking session and then `body`."""
    code = f"""
import sys, time
from pipeline.service.tracking.statistics import Statistics
from pipeline.service.tracking.tracking_run import TrackedArm, TrackingRun
tracked = TrackedArm(Statistics(10, 60), lambda: False, lambda: 1)
tracking = TrackingRun("iris-serving", "iris", {{"production": tracked}}, {{}}, 0.05)
tracking.start()
{body}
"""
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def test_process_ends_in_time_with_a_silent_server() -> None:
    port = free_port()
    with silent_server(port):
        body = 'import mlflow; time.sleep(1); tracking.stop(0.5); print(tracking.state()["state"], flush=True)'
        with start_script(body, f"http://127.0.0.1:{port}") as process:
            assert process.stdout
            assert process.stdout.readline() in ("starting\n", "retrying\n")
            process.wait(timeout=15)  # the MLflow client waits 20 seconds and retries
            assert process.returncode == 0


def test_next_session_ends_the_run_of_a_killed_session(pipeline_folder: Path, progress_lines: list[str]) -> None:
    body = 'while tracking.state()["state"] != "ok": time.sleep(0.02)\nprint(tracking.state()["run_id"], flush=True)\n'
    with start_script(f"{body}time.sleep(60)", os.environ["MLFLOW_TRACKING_URI"]) as process:
        assert process.stdout
        killed_id = process.stdout.readline().strip()
        assert open_store().get_run(killed_id).info.status == "RUNNING"
        process.kill()
    tracking = session({"production": Statistics(10, 60)})
    tracking.start()
    tracking.stop(20)
    run = open_store().get_run(killed_id)
    assert run.info.status == "FAILED"
    assert f"process {process.pid}" in run.data.tags["error"]
    assert open_store().get_run(str(tracking.state()["run_id"])).info.status == "FINISHED"
    assert killed_id in "\n".join(progress_lines)
