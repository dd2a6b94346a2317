"""Check confidence, class balance and latency of recent predictions against fixed limits."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.params.schema import MonitorParams
from pipeline.service.drift.window import Rows


@dataclass(frozen=True)
class Rule:
    """A metric of recent predictions compared with its limit."""

    name: str
    value: float
    limit: float
    alarm: bool

    @property
    def message(self) -> str:
        """The text of the alarm."""
        direction = "below" if self.value < self.limit else "above"
        return f"{self.name.replace('_', ' ')} is {self.value:.4g}, {direction} {self.limit:g}"


def recent_metrics(rows: Rows, params: MonitorParams) -> dict[str, Any]:
    """Return the metrics that the rules check, and further statistics of the predictions.

    Parameters
    ----------
    rows : Rows
    params : MonitorParams

    Returns
    -------
    dict
        ``inference_ms``: mean, median and 99th percentile over requests. For a regression also ``value``: mean,
        standard deviation and range of the predictions. For a classification also ``confidence_mean`` in percent;
        ``low_confidence_ratio``, the share of confidences below ``min_confidence``, None without that limit; and
        ``classes``, the share of each predicted class.
    """
    elapsed = np.array([request.elapsed_ms for request in rows.requests])
    p50, p99 = np.percentile(elapsed, [50, 99])
    metrics: dict[str, Any] = {
        "inference_ms": {"mean": float(elapsed.mean()), "p50": float(p50), "p99": float(p99)},
    }
    if rows.confidences is None:
        values = np.array(rows.predictions, dtype=np.float64)
        moments = {"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max()}
        return metrics | {"value": {name: float(value) for name, value in moments.items()}}
    confidences = np.array(rows.confidences)
    threshold, counts = params.min_confidence, Counter(map(str, rows.predictions))
    return metrics | {
        "confidence_mean": float(confidences.mean()),
        "low_confidence_ratio": None if threshold is None else float(np.mean(confidences < threshold)),
        "classes": {label: count / counts.total() for label, count in counts.most_common()},
    }


def check_rules(metrics: dict[str, Any], params: MonitorParams) -> list[Rule]:
    """Compare the result of `recent_metrics` with the limits; leave out rules without a limit or a value."""
    mean, low, classes = (metrics.get(name) for name in ("confidence_mean", "low_confidence_ratio", "classes"))
    rules = [
        ("mean_confidence", mean, params.min_confidence, True),
        ("low_confidence_ratio", low, params.max_low_confidence, False),
        ("mean_inference_ms", metrics["inference_ms"]["mean"], params.max_inference_ms, False),
        ("largest_class_share", max(classes.values()) if classes else None, params.max_class_share, False),
    ]
    return [
        Rule(name, value, limit, value < limit if is_minimum else value > limit)
        for name, value, limit, is_minimum in rules
        if value is not None and limit is not None
    ]
