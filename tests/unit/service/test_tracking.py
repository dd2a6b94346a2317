"""Metrics of a session, for MLflow and for Prometheus."""

import statistics as exact
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.service.tracking.prometheus import BUCKETS, MAX_COLUMNS, Prometheus
from pipeline.service.tracking.statistics import Statistics
from pipeline.service.tracking.tracking_run import TrackingRun
from support.tracking import LABELS, model, request


def test_metrics_of_a_classification() -> None:
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
    assert point["session_avg_inference_time_ms"] == pytest.approx(
        5
    )  # a mean over requests, however many rows they have
    assert point["class_dist_setosa"] == pytest.approx(3 / 5)
    assert point["recent_avg_confidence"] == pytest.approx((50 + 90 + 40 + 40) / 4)  # the newest four
    assert point["recent_low_confidence_ratio"] == pytest.approx(3 / 4)


def test_metrics_of_a_regression() -> None:
    houses, statistics = model(None), Statistics(10, None)
    values = (1e9 + np.random.default_rng(0).normal(0, 1, 300)).tolist()  # a deviation far below the mean
    for start in range(0, 200, 7):
        statistics.add([request(houses, values[start : min(start + 7, 200)])])
    point = statistics.point(False)
    first = values[:200]
    assert point["prediction_value_mean"] == pytest.approx(exact.fmean(first), rel=1e-15)
    assert point["prediction_value_std"] == pytest.approx(exact.pstdev(first), rel=1e-6)
    assert (point["prediction_value_min"], point["prediction_value_max"]) == (min(first), max(first))
    statistics.add([request(houses, values[200:])])
    point = statistics.point(False)
    assert point["prediction_value_mean"] == pytest.approx(exact.fmean(values[200:]), rel=1e-15)
    assert point["session_avg_value"] == pytest.approx(exact.fmean(values), rel=1e-15)
    assert point["recent_avg_value"] == pytest.approx(exact.fmean(values[-10:]), rel=1e-15)
    assert not [name for name in point if "conf" in name or name.startswith(("prob_", "class_"))]


def test_requests_and_health_checks_are_counted_and_idle_periods_give_no_point() -> None:
    statistics = Statistics(10, 60)
    assert statistics.point(False) == {"drift_detected": 0, "prediction_count": 0}
    assert statistics.point(False) == {}
    assert statistics.point(True) == {"drift_detected": 1, "prediction_count": 0}
    for status in (200, 200, 200, 401, 422, 500, 503, None):
        statistics.count_request(status)
    statistics.count_health_check(1)
    statistics.count_health_check(2)
    point = statistics.point(True)
    assert point["error_rate"] == 3 / 8
    assert point["client_error_rate"] == 2 / 8
    assert point["health_check_response_time_ms"] == 1.5
    assert statistics.point(True) == {}


def test_a_new_version_resets_the_recent_metrics() -> None:
    statistics = Statistics(100, 60)
    old, new = model(LABELS, 1), model([*LABELS, "sibirica"], 2)
    statistics.add([request(old, [[0.5, 0.3, 0.2]] * 50), request(new, [[0.0, 0.0, 0.1, 0.9]] * 50)])
    point = statistics.point(False)
    assert point["recent_avg_confidence"] == pytest.approx(90)
    assert point["session_avg_confidence"] == pytest.approx(70)
    assert point["prob_sibirica"] == pytest.approx(0.45)
    assert (point["class_dist_setosa"], point["class_dist_sibirica"]) == (0.5, 0.5)


def samples(text: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the samples that Prometheus reads, by name and label values, in the order of the label names."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_prometheus_exports_all_metrics() -> None:
    prometheus, iris = Prometheus(), model(LABELS, 7)
    for status in (200, 200, 422, None):
        prometheus.count_request("/predict", status)
    for number in range(500):
        prometheus.count_request(f"/{number}", 404)
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
