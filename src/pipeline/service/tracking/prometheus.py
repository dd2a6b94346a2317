"""What Prometheus reads at GET /metrics."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pipeline.service.answered import Answered, Arm
from pipeline.service.models.served import ServedModel

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
ENDPOINTS = ("/predict", "/explain", "/health", "/model", "/drift", "/metrics")
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds
MAX_COLUMNS = 100  # of an arm: a light curve has thousands, and each would be a series


class Prometheus:
    """Counts requests and answers, and writes them out with the state of the service's parts.

    Labels take few values: endpoints known here, status codes, arms, and the columns that drifted most.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "prediction_requests", "Requests by endpoint and status.", ["endpoint", "status"], registry=self._registry
        )
        self._rows = Counter("prediction_rows", "Answered rows.", ["arm"], registry=self._registry)
        self._seconds = Histogram(
            "prediction_seconds",
            "Seconds from a request for predictions read to its answer written.",
            ["arm"],
            registry=self._registry,
            buckets=BUCKETS,
        )
        self._counted: dict[tuple[str, int | None], Counter] = {}  # finding a counter by its labels takes longest

    def requested(self, endpoint: str, status: int | None) -> None:
        """Count a request; in microseconds, as it is on the request path.

        Parameters
        ----------
        endpoint : str
            Its path.
        status : int or None
            The HTTP status of the answer; None where there was none.
        """
        counter = self._counted.get((endpoint, status))
        if counter is None:
            known = endpoint if endpoint in ENDPOINTS else "other"
            counter = self._requests.labels(known, "none" if status is None else str(status))
            if known == endpoint:
                self._counted[endpoint, status] = counter
        counter.inc()

    def observe(self, answered: list[Answered]) -> None:
        """Count answered requests; called by the recorder's thread."""
        for arm in {one.arm for one in answered}:
            some = [one for one in answered if one.arm == arm]
            self._rows.labels(arm).inc(sum(len(one.ids) for one in some))
            observe = self._seconds.labels(arm).observe
            for one in some:
                observe(one.elapsed_ms / 1000)

    def exposition(
        self,
        recording: Mapping[str, Any],
        tracking: Mapping[str, Any],
        models: Mapping[Arm, ServedModel],
        reports: Mapping[Arm, Mapping[str, Any]],
    ) -> bytes:
        """Return all in the text format of Prometheus, of media type `CONTENT_TYPE`.

        Parameters
        ----------
        recording, tracking : mapping
            ``Recorder.state()`` and ``TrackingRun.state()``.
        models : mapping of str to ServedModel
            That answer now, by arm.
        reports : mapping of str to mapping
            ``Monitor.report()`` by arm.
        """
        now = _Now([*_queues(recording, tracking), *_models(models), *_drift(reports)])
        return generate_latest(self._registry) + generate_latest(now)


class _Now(Collector):
    """Gauges of one moment."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _queues(recording: Mapping[str, Any], tracking: Mapping[str, Any]) -> list[Metric]:
    queues: list[Metric] = [
        GaugeMetricFamily("prediction_recorder_queued_rows", "Rows to be written.", recording["queued_rows"]),
        CounterMetricFamily("prediction_recorder_written_rows", "Rows in Parquet files.", recording["written_rows"]),
        CounterMetricFamily("prediction_recorder_dropped_rows", "Rows that are lost.", recording["dropped_rows"]),
    ]
    if tracking["state"] == "off":
        return queues
    return [
        *queues,
        GaugeMetricFamily("prediction_tracking_up", "Whether MLflow is written to.", tracking["state"] == "ok"),
        GaugeMetricFamily("prediction_tracking_queued_points", "Points to be written.", tracking["queued_points"]),
        CounterMetricFamily("prediction_tracking_dropped_points", "Points that are lost.", tracking["dropped_points"]),
    ]


def _models(models: Mapping[Arm, ServedModel]) -> list[Metric]:
    up = GaugeMetricFamily("prediction_model_up", "Whether a model answers.", "production" in models)
    info = GaugeMetricFamily("prediction_model_info", "1.", labels=["arm", "name", "version", "source"])
    for arm, model in models.items():
        info.add_metric([arm, model.name, str(model.version), model.source], 1)
    return [up, info]


def _drift(reports: Mapping[Arm, Mapping[str, Any]]) -> list[Metric]:
    detected = GaugeMetricFamily("prediction_drift_detected", "Whether there is an alarm.", labels=["arm"])
    psi = GaugeMetricFamily("prediction_psi", "Population stability index.", labels=["arm", "column"])
    for arm, report in reports.items():
        detected.add_metric([arm], bool(report.get("detected")))
        known = [(one["psi"], one["column"]) for one in report.get("columns", []) if one.get("psi") is not None]
        for value, column in sorted(known, reverse=True)[:MAX_COLUMNS]:
            psi.add_metric([arm, column], value)
    return [detected, psi]
