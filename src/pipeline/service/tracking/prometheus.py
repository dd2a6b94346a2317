"""Export the service's metrics in the format of Prometheus, for GET /metrics."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pipeline.service.models.served import ServedModel
from pipeline.service.records import Arm, PredictionRecord

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
ENDPOINTS = ("/predict", "/explain", "/health", "/model", "/drift", "/metrics")
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds
MAX_COLUMNS = 100  # per arm, as each column is a time series and a light curve has thousands


class Prometheus:
    """Counts requests and predictions, and exports them together with the current state of the service.

    Metric labels have few values, to limit the number of time series: known endpoints, status codes, arms, and the
    columns with the highest PSI.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "prediction_requests", "Requests by endpoint and status.", ["endpoint", "status"], registry=self._registry
        )
        self._rows = Counter("prediction_rows", "Predicted rows.", ["arm"], registry=self._registry)
        self._seconds = Histogram(
            "prediction_seconds",
            "Seconds from reading a prediction request to having its response ready.",
            ["arm"],
            registry=self._registry,
            buckets=BUCKETS,
        )
        self._counted: dict[tuple[str, int | None], Counter] = {}  # looking up a counter by its labels is slow

    def count_request(self, endpoint: str, status: int | None) -> None:
        """Count a request. This is on the request path, and takes microseconds.

        Parameters
        ----------
        endpoint : str
            The path of the request.
        status : int or None
            The HTTP status of the response; None if there was none.
        """
        counter = self._counted.get((endpoint, status))
        if counter is None:
            label = endpoint if endpoint in ENDPOINTS else "other"
            counter = self._requests.labels(label, "none" if status is None else str(status))
            if label == endpoint:
                self._counted[endpoint, status] = counter
        counter.inc()

    def observe(self, records: list[PredictionRecord]) -> None:
        """Count predictions; called in the recorder's thread."""
        for arm in {record.arm for record in records}:
            arm_records = [record for record in records if record.arm == arm]
            self._rows.labels(arm).inc(sum(len(record.ids) for record in arm_records))
            observe = self._seconds.labels(arm).observe
            for record in arm_records:
                observe(record.elapsed_ms / 1000)

    def exposition(
        self,
        recording: Mapping[str, Any],
        tracking: Mapping[str, Any],
        models: Mapping[Arm, ServedModel],
        reports: Mapping[Arm, Mapping[str, Any]],
    ) -> bytes:
        """Return all metrics in the text format of Prometheus, with media type `CONTENT_TYPE`.

        Parameters
        ----------
        recording, tracking : mapping
            ``Recorder.state()`` and ``TrackingRun.state()``.
        models : mapping of str to ServedModel
            The served models, by arm.
        reports : mapping of str to mapping
            ``Monitor.report()`` by arm.
        """
        state = _Snapshot([*_queues(recording, tracking), *_models(models), *_drift(reports)])
        return generate_latest(self._registry) + generate_latest(state)


class _Snapshot(Collector):
    """Metrics with the values of one moment."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _queues(recording: Mapping[str, Any], tracking: Mapping[str, Any]) -> list[Metric]:
    queues: list[Metric] = [
        GaugeMetricFamily("prediction_recorder_queued_rows", "Rows waiting to be written.", recording["queued_rows"]),
        CounterMetricFamily(
            "prediction_recorder_written_rows", "Rows written to Parquet files.", recording["written_rows"]
        ),
        CounterMetricFamily(
            "prediction_recorder_dropped_rows", "Rows that were not recorded.", recording["dropped_rows"]
        ),
    ]
    if tracking["state"] == "off":
        return queues
    return [
        *queues,
        GaugeMetricFamily(
            "prediction_tracking_up", "Whether the last write to MLflow succeeded.", tracking["state"] == "ok"
        ),
        GaugeMetricFamily(
            "prediction_tracking_queued_points", "Points waiting to be written to MLflow.", tracking["queued_points"]
        ),
        CounterMetricFamily(
            "prediction_tracking_dropped_points", "Points that were not written to MLflow.", tracking["dropped_points"]
        ),
    ]


def _models(models: Mapping[Arm, ServedModel]) -> list[Metric]:
    up = GaugeMetricFamily("prediction_model_up", "Whether a production model is served.", "production" in models)
    info = GaugeMetricFamily(
        "prediction_model_info", "Served models; the value is always 1.", labels=["arm", "name", "version", "source"]
    )
    for arm, model in models.items():
        info.add_metric([arm, model.name, str(model.version), model.source], 1)
    return [up, info]


def _drift(reports: Mapping[Arm, Mapping[str, Any]]) -> list[Metric]:
    detected = GaugeMetricFamily("prediction_drift_detected", "Whether there is a drift alarm.", labels=["arm"])
    psi = GaugeMetricFamily("prediction_psi", "Population stability index.", labels=["arm", "column"])
    for arm, report in reports.items():
        detected.add_metric([arm], bool(report.get("detected")))
        columns = [(item["psi"], item["column"]) for item in report.get("columns", []) if item.get("psi") is not None]
        for value, column in sorted(columns, reverse=True)[:MAX_COLUMNS]:
            psi.add_metric([arm, column], value)
    return [detected, psi]
