"""The metrics of GET /metrics, from what the service writes there."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from reference_pages.markdown import code, prose, table

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from pipeline.service.models.served import ServedModel


def prometheus_metrics() -> str:
    """Return a table of the metrics: name, type, labels, meaning."""
    rows = [
        (code(_name(family)), family.type, ", ".join(map(code, _labels(family))), prose(family.documentation))
        for family in sorted(families(), key=lambda family: family.name.startswith("process_"))
    ]
    return table(("Metric", "Type", "Labels", "Meaning"), rows)


def families() -> Iterable["Metric"]:
    """Return the metrics of a service that has answered one request, with every optional part present."""
    from prometheus_client.parser import text_string_to_metric_families

    from pipeline.service.records import ModelIdentity, Outputs, PredictionRecord
    from pipeline.service.tracking.prometheus import Prometheus

    metrics = Prometheus()
    metrics.count_request("/predict", 200)
    identity = ModelIdentity("model", 1, "0" * 32, {"x": "number"}, None)
    metrics.observe([PredictionRecord(0.0, ["0-1"], "production", identity, {"x": [1.0]}, Outputs([1.0]), 1.0)])
    recording: dict[str, Any] = {"queued_rows": 0, "written_rows": 0, "dropped_rows": 0}
    tracking: dict[str, Any] = {"state": "ok", "queued_points": 0, "dropped_points": 0}
    model = cast("ServedModel", SimpleNamespace(name="model", version=1, source="registry"))
    report = {"detected": False, "columns": [{"column": "x", "psi": 0.0}]}
    text = metrics.exposition(recording, tracking, {"production": model}, {"production": report}).decode()
    return text_string_to_metric_families(text)


def _name(family: "Metric") -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _labels(family: "Metric") -> list[str]:
    """Return the labels a query can use; `le` is the histogram's own."""
    return sorted({label for sample in family.samples for label in sample.labels} - {"le"})
