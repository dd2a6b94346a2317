"""What is tracked of a session, in an MLflow run and for Prometheus; and that a store that is away harms nothing."""

import os
import socket
import statistics as exact
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.service.answered import Answered, Arm, ModelIdentity, Outputs
from pipeline.service.tracking import tracking_run
from pipeline.service.tracking.prometheus import BUCKETS, MAX_COLUMNS, Prometheus
from pipeline.service.tracking.statistics import Statistics
from pipeline.service.tracking.tracking_run import Tracked, TrackingRun
from pipeline.store.open import open_store
from support.repositories import ROOT
from support.servers import answers, free_port, running

LABELS = ["setosa", "versicolor", "virginica"]
PARAMS = {"MLFLOW_MODEL_NAME": "iris", "MODEL_VERSION": ""}


def model(labels: list[Any] | None, version: int = 1) -> ModelIdentity:
    """Return a model of which no more is asked than what it is called and which labels it has."""
    return ModelIdentity("iris", version, "r" * 32, {"x": "number"}, labels)


def request(of: ModelIdentity, answers: list[Any], elapsed_ms: float = 1.0, arm: Arm = "production") -> Answered:
    """Return an answered request; `answers` are values, or probabilities of the labels."""
    outputs = Outputs(answers)
    if of.labels is not None:
        outputs = Outputs([of.labels[int(np.argmax(row))] for row in answers], answers)
    ids = [f"id{number}" for number in range(len(answers))]
    return Answered(time.time(), ids, arm, of, {"x": [0.0] * len(ids)}, outputs, elapsed_ms)


def session(
    statistics: Mapping[Arm, Statistics], version: Callable[[], int | None] = lambda: 1, max_points: int = 1000
) -> TrackingRun:
    """Return a session that takes a point every twentieth of a second."""
    arms = {arm: Tracked(one, lambda: False, version) for arm, one in statistics.items()}
    return TrackingRun("iris-serving", "iris", arms, PARAMS, 0.05, max_points)


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def history(run_id: str, name: str) -> list[tuple[int, float]]:
    """Return step and value of all points of a metric, after checking that their times rise with their steps."""
    points = sorted(open_store().get_metric_history(run_id, name), key=lambda one: one.step)
    times = [point.timestamp for point in points]
    assert times == sorted(times)
    return [(point.step, point.value) for point in points]


@contextmanager
def silent_server(port: int) -> Iterator[None]:
    """Accept connections and never answer."""
    taken = []
    with socket.create_server(("127.0.0.1", port)) as listener:

        def accept() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in taken:
                one.close()


def test_points_of_a_classification() -> None:
    iris, statistics = model(LABELS), Statistics(4, 60)
    first = [request(iris, [[0.7, 0.2, 0.1]], 2), request(iris, [[0.1, 0.5, 0.4], [0.0, 0.1, 0.9]], 4)]
    statistics.add(first)
    assert statistics.point(False) == pytest.approx(
        {
            "drift_detected": 0,
            "prediction_count": 3,
            "prediction_inference_time_ms": 3,
            "prediction_confidence": 70,
            "prob_setosa": 0.8 / 3,
            "prob_versicolor": 0.8 / 3,
            "prob_virginica": 1.4 / 3,
            "session_total_predictions": 3,
            "session_avg_inference_time_ms": 3,
            "session_avg_confidence": 70,
            "class_dist_setosa": 1 / 3,
            "class_dist_versicolor": 1 / 3,
            "class_dist_virginica": 1 / 3,
            "recent_avg_confidence": 70,
            "recent_low_confidence_ratio": 1 / 3,
        }
    )
    statistics.add([request(iris, [[0.4, 0.3, 0.3], [0.4, 0.3, 0.3]], 9)])
    point = statistics.point(True)
    assert point["drift_detected"] == 1
    assert (point["prediction_count"], point["session_total_predictions"]) == (2, 5)
    assert point["prediction_confidence"] == pytest.approx(40)
    assert point["session_avg_confidence"] == pytest.approx((210 + 80) / 5)
    assert point["session_avg_inference_time_ms"] == pytest.approx(5)  # a request each, however many rows
    assert point["class_dist_setosa"] == pytest.approx(3 / 5)
    assert point["recent_avg_confidence"] == pytest.approx((50 + 90 + 40 + 40) / 4)  # of the newest four
    assert point["recent_low_confidence_ratio"] == pytest.approx(3 / 4)


def test_points_of_a_regression() -> None:
    houses, statistics = model(None), Statistics(10, None)
    values = (1e9 + np.random.default_rng(0).normal(0, 1, 300)).tolist()  # a spread far below the mean
    for start in range(0, 200, 7):
        statistics.add([request(houses, values[start : min(start + 7, 200)])])
    point = statistics.point(False)
    of_window = values[:200]
    assert point["prediction_value_mean"] == pytest.approx(exact.fmean(of_window), rel=1e-15)
    assert point["prediction_value_std"] == pytest.approx(exact.pstdev(of_window), rel=1e-6)
    assert (point["prediction_value_min"], point["prediction_value_max"]) == (min(of_window), max(of_window))
    statistics.add([request(houses, values[200:])])
    point = statistics.point(False)
    assert point["prediction_value_mean"] == pytest.approx(exact.fmean(values[200:]), rel=1e-15)
    assert point["session_avg_value"] == pytest.approx(exact.fmean(values), rel=1e-15)
    assert point["recent_avg_value"] == pytest.approx(exact.fmean(values[-10:]), rel=1e-15)
    assert not [name for name in point if "conf" in name or name.startswith(("prob_", "class_"))]


def test_requests_and_health_checks_are_counted_and_nothing_is_no_point() -> None:
    statistics = Statistics(10, 60)
    assert statistics.point(False) == {"drift_detected": 0, "prediction_count": 0}
    assert statistics.point(False) == {}
    assert statistics.point(True) == {"drift_detected": 1, "prediction_count": 0}
    for status in (200, 200, 200, 401, 422, 500, 503, None):
        statistics.requested(status)
    statistics.health_checked(1)
    statistics.health_checked(2)
    point = statistics.point(True)
    assert point["error_rate"] == 3 / 8
    assert point["client_error_rate"] == 2 / 8
    assert point["health_check_response_time_ms"] == 1.5
    assert statistics.point(True) == {}


def test_a_new_version_starts_the_recent_predictions_anew() -> None:
    statistics = Statistics(100, 60)
    old, new = model(LABELS, 1), model([*LABELS, "sibirica"], 2)
    statistics.add([request(old, [[0.5, 0.3, 0.2]] * 50), request(new, [[0.0, 0.0, 0.1, 0.9]] * 50)])
    point = statistics.point(False)
    assert point["recent_avg_confidence"] == pytest.approx(90)
    assert point["session_avg_confidence"] == pytest.approx(70)
    assert point["prob_sibirica"] == pytest.approx(0.45)
    assert (point["class_dist_setosa"], point["class_dist_sibirica"]) == (0.5, 0.5)


def test_any_label_is_a_metric_of_its_own(pipeline_folder: Path) -> None:
    odd = [
        "-1",
        "1",
        2,
        "<1H OCEAN",
        "NEAR [BAY]",
        "near (bay)",
        "é/ü",
        "",
        "..",
        "x" * 300,
        "x" * 301,
        "a\nb",
        "%",
        "$",
    ]
    odd += [f"label {number}" for number in range(600)]  # more metrics than one call takes
    statistics = Statistics(10, 60)
    statistics.add([request(model(odd), np.eye(len(odd)).tolist())])
    tracking = session({"production": statistics})
    tracking.start()
    tracking.stop(60)
    run = open_store().get_run(str(tracking.state()["run_id"]))
    assert run.info.status == "FINISHED"
    for prefix in ("prob_", "class_dist_"):
        shares = [value for name, value in run.data.metrics.items() if name.startswith(prefix)]
        assert shares == [pytest.approx(1 / len(odd))] * len(odd)
    assert {"prob_-1", "prob_1", "prob_2", "prob__1H_OCEAN", "prob_é_ü", "prob_NEAR_BAY_", "prob_near_bay__2"} <= set(
        run.data.metrics
    )


def test_a_session_is_one_run_with_one_nested_for_the_challenger(
    pipeline_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    statistics: dict[Arm, Statistics] = {"production": Statistics(10, 60), "challenger": Statistics(10, 60)}
    versions = [None, 3, 4, 3]
    open_store()  # as the service has, to load a model, before its session begins
    tracking = session(statistics, lambda: versions[0])
    assert tracking.state() == {
        "state": "off",
        "run_id": None,
        "error": None,
        "queued_points": 0,
        "dropped_points": 0,
    }
    tracking.start()
    sent = 0
    while len(versions) > 1:
        versions.pop(0)
        iris = model(LABELS, int(versions[0] or 0))
        statistics["production"].add([request(iris, [[0.7, 0.2, 0.1]] * 5)])
        statistics["challenger"].add([request(iris, [[0.1, 0.8, 0.1]], arm="challenger")])
        sent += 5
        run_id = tracking.state()["run_id"]
        time.sleep(0.15)  # three points
        open_store()  # as the watcher does, meanwhile
    wait_until(lambda: tracking.state()["state"] == "ok")
    statistics["production"].add([request(iris, [[0.7, 0.2, 0.1]] * 5)])
    tracking.stop(20)
    assert tracking.state()["queued_points"] == tracking.state()["dropped_points"] == 0

    client, run_id = open_store(), str(tracking.state()["run_id"])
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == PARAMS
    assert run.data.metrics["session_total_predictions"] == sent + 5
    assert sum(value for _, value in history(run_id, "prediction_count")) == sent + 5
    assert [version for version, _ in groupby(value for _, value in history(run_id, "model_version"))] == [3, 4, 3]
    expected = {"stage": "serving", "model_name": "iris", "arm": "production"}
    expected |= {"model_version": "3", "model_versions": "4, 3", "pid": str(os.getpid())}
    assert expected.items() <= run.data.tags.items()
    assert {"host", "process_started", "model_version_3_since", "model_version_4_since"} <= run.data.tags.keys()

    runs = client.search_runs([run.info.experiment_id])
    nested = [one for one in runs if one.data.tags.get("mlflow.parentRunId") == run_id]
    assert len(runs) == 2
    assert [one.data.tags["arm"] for one in nested] == ["challenger"]
    assert nested[0].info.status == "FINISHED"
    assert nested[0].data.metrics["session_total_predictions"] == 3
    assert nested[0].data.metrics["class_dist_versicolor"] == 1
    assert not caplog.records


def test_a_thread_that_opens_the_store_and_the_session_do_not_disturb_each_other(
    pipeline_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    statistics = Statistics(10, 60)
    open_store()
    tracking = session({"production": statistics})
    tracking.start()
    for number in range(20):
        statistics.add([request(model(LABELS), [[0.7, 0.2, 0.1]])])
        client = open_store()
        client.create_registered_model(f"model-{number}")
        assert client.search_model_versions("name = 'iris'") == []
    tracking.stop(20)
    state = tracking.state()
    assert (state["state"], state["dropped_points"]) == ("ok", 0)
    assert sum(value for _, value in history(str(state["run_id"]), "prediction_count")) == 20
    assert not caplog.records


def test_points_wait_for_a_server_that_is_away_or_silent(
    pipeline_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking_run, "LONGEST_PAUSE", 1.0)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = ["mlflow", "server", "--backend-store-uri", os.environ["MLFLOW_TRACKING_URI"], "--workers", "1"]
    command += ["--artifacts-destination", str(tmp_path / "files"), "--host", "127.0.0.1", "--port", str(port)]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

    def server(log: str) -> Any:
        lean = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # eight processes fewer
        return running(command, tmp_path / log, lambda: answers(f"{address}/health"), lean, tmp_path)

    statistics = Statistics(10, 60)
    tracking = session({"production": statistics}, max_points=30)
    added = 0

    def predictions_for(points: int) -> None:
        nonlocal added
        for _ in range(points):
            statistics.add([request(model(LABELS), [[0.7, 0.2, 0.1]])])
            added += 1
            time.sleep(0.06)

    tracking.start()  # before there is a server
    predictions_for(10)
    wait_until(lambda: tracking.state()["state"] == "retrying")
    assert address in tracking.state()["error"]
    assert tracking.state()["queued_points"] >= 5
    with server("first.log"):
        wait_until(lambda: tracking.state()["state"] == "ok" and tracking.state()["queued_points"] == 0)
        run_id = tracking.state()["run_id"]
        assert sum(value for _, value in history(run_id, "prediction_count")) == added
    predictions_for(10)
    wait_until(lambda: tracking.state()["state"] == "retrying")
    with server("second.log"):
        wait_until(lambda: tracking.state()["state"] == "ok" and tracking.state()["queued_points"] == 0)
        assert tracking.state()["run_id"] == run_id
        assert tracking.state()["dropped_points"] == 0
        points = history(run_id, "prediction_count")
        assert sum(value for _, value in points) == added
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps))  # each once
        assert [one.message for one in caplog.records if "tried again" in one.message or "answers again" in one.message]
    predictions_for(40)
    state = tracking.state()
    assert state["queued_points"] == 30  # the newest
    assert state["dropped_points"] >= 5
    with silent_server(port):
        predictions_for(2)
        began = time.monotonic()
        tracking.stop(1.0)
        assert time.monotonic() - began < 10  # MLflow's client waits 20 seconds, and asks again
    assert tracking.state()["queued_points"] == 0
    assert tracking.state()["dropped_points"] >= state["dropped_points"] + 30
    assert "the run was not ended" in caplog.records[-1].message


def start_script(body: str, uri: str) -> "subprocess.Popen[str]":
    """Start a process with a session in it."""
    code = f"""
import sys, time
from pipeline.service.tracking.statistics import Statistics
from pipeline.service.tracking.tracking_run import Tracked, TrackingRun
tracked = Tracked(Statistics(10, 60), lambda: False, lambda: 1)
tracking = TrackingRun("iris-serving", "iris", {{"production": tracked}}, {{}}, 0.05)
tracking.start()
{body}
"""
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)


def test_a_process_ends_in_time_though_the_server_never_answers() -> None:
    port = free_port()
    with silent_server(port):
        body = 'import mlflow; time.sleep(1); tracking.stop(0.5); print(tracking.state()["state"], flush=True)'
        with start_script(body, f"http://127.0.0.1:{port}") as process:
            assert process.stdout
            assert process.stdout.readline() in ("starting\n", "retrying\n")
            process.wait(timeout=15)  # MLflow's client waits 20 seconds, and asks again
            assert process.returncode == 0


def test_the_run_of_a_killed_session_is_swept_by_the_next(pipeline_folder: Path, progress_lines: list[str]) -> None:
    body = 'while tracking.state()["state"] != "ok": time.sleep(0.02)\nprint(tracking.state()["run_id"], flush=True)\n'
    with start_script(f"{body}time.sleep(60)", os.environ["MLFLOW_TRACKING_URI"]) as process:
        assert process.stdout
        killed = process.stdout.readline().strip()
        assert open_store().get_run(killed).info.status == "RUNNING"
        process.kill()
    tracking = session({"production": Statistics(10, 60)})
    tracking.start()
    tracking.stop(20)
    run = open_store().get_run(killed)
    assert run.info.status == "FAILED"
    assert f"process {process.pid}" in run.data.tags["error"]
    assert open_store().get_run(str(tracking.state()["run_id"])).info.status == "FINISHED"
    assert killed in "\n".join(progress_lines)


def samples(text: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return what Prometheus reads, by name and label values, in the order of the labels' names."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_prometheus_reads_what_was_counted() -> None:
    prometheus, iris = Prometheus(), model(LABELS, 7)
    for status in (200, 200, 422, None):
        prometheus.requested("/predict", status)
    for number in range(500):
        prometheus.requested(f"/{number}", 404)
    prometheus.observe([request(iris, [[0.7, 0.2, 0.1]], 0.3), request(iris, [[0.7, 0.2, 0.1]] * 9, 12_000)])
    prometheus.observe([request(iris, [[0.7, 0.2, 0.1]], 0.1, "challenger")])
    report = {"detected": True, "columns": [{"column": f"flux {n}", "psi": n / 1000} for n in range(3000)]}
    report["columns"] += [{"column": 'a "quoted"\nname', "psi": 9.0}, {"column": "unknown", "psi": None}]
    read = samples(
        prometheus.exposition(
            {"queued_rows": 1, "written_rows": 2, "dropped_rows": 3, "last_error": None},
            {"state": "retrying", "run_id": None, "error": "…", "queued_points": 4, "dropped_points": 5},
            {"production": cast(Any, SimpleNamespace(name="iris", version=7, source="registry"))},
            {"production": report, "challenger": {}},
        )
    )
    assert read["prediction_requests_total", ("/predict", "200")] == 2
    assert read["prediction_requests_total", ("/predict", "none")] == 1
    assert read["prediction_requests_total", ("other", "404")] == 500
    assert read["prediction_rows_total", ("production",)] == 10
    assert read["prediction_seconds_count", ("production",)] == 2
    assert read["prediction_seconds_sum", ("production",)] == pytest.approx(12.0003)
    assert read["prediction_seconds_bucket", ("production", "0.0005")] == 1
    assert read["prediction_seconds_bucket", ("production", "10.0")] == 1
    assert read["prediction_seconds_bucket", ("challenger", "0.0001")] == 1
    assert (BUCKETS[0], BUCKETS[-1]) == (0.0001, 10)
    assert read["prediction_recorder_queued_rows", ()] == 1
    assert read["prediction_recorder_written_rows_total", ()] == 2
    assert read["prediction_recorder_dropped_rows_total", ()] == 3
    assert read["prediction_tracking_up", ()] == 0
    assert read["prediction_tracking_queued_points", ()] == 4
    assert read["prediction_tracking_dropped_points_total", ()] == 5
    assert read["prediction_model_up", ()] == 1
    assert read["prediction_model_info", ("production", "iris", "registry", "7")] == 1
    assert read["prediction_drift_detected", ("production",)] == 1
    assert read["prediction_drift_detected", ("challenger",)] == 0
    assert read["prediction_psi", ("production", 'a "quoted"\nname')] == 9
    assert len([name for name, _ in read if name == "prediction_psi"]) == MAX_COLUMNS
    assert read["process_resident_memory_bytes", ()] > 1e6

    off = TrackingRun("iris-serving", "iris", {}, {}, 1).state()
    text = prometheus.exposition({"queued_rows": 0, "written_rows": 0, "dropped_rows": 0}, off, {}, {})
    assert samples(text)["prediction_model_up", ()] == 0
    assert b"prediction_tracking_" not in text
