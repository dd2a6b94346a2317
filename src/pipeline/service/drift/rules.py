"""Limits of what a model answers, and how fast, over the recent predictions; no training data is needed for them."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.params.schema import MonitorParams
from pipeline.service.drift.window import Rows


@dataclass(frozen=True)
class Rule:
    """A number held against its limit."""

    name: str
    value: float
    limit: float
    alarm: bool

    @property
    def told(self) -> str:
        """The alarm in words."""
        beyond = "below" if self.value < self.limit else "above"
        return f"{self.name.replace('_', ' ')} is {self.value:.4g}, {beyond} {self.limit:g}"


def recent(rows: Rows, params: MonitorParams) -> dict[str, Any]:
    """Return the numbers that the rules judge, and what else tells how the model answers.

    Parameters
    ----------
    rows : Rows
    params : MonitorParams

    Returns
    -------
    dict
        ``inference_ms``: mean, median and 99th percentile over the requests; of a regression ``value``: moments of the
        predictions; of a classification ``confidence_mean`` in percent, ``low_confidence_ratio`` (None where no
        confidence is low by ``min_confidence``) and ``classes``, the share of each label that was predicted.
    """
    elapsed = np.array([one.elapsed_ms for one in rows.requests])
    p50, p99 = np.percentile(elapsed, [50, 99])
    found: dict[str, Any] = {
        "inference_ms": {"mean": float(elapsed.mean()), "p50": float(p50), "p99": float(p99)},
    }
    if rows.confidences is None:
        values = np.array(rows.predictions, dtype=np.float64)
        moments = {"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max()}
        return found | {"value": {name: float(value) for name, value in moments.items()}}
    confidences = np.array(rows.confidences)
    least, counts = params.min_confidence, Counter(map(str, rows.predictions))
    return found | {
        "confidence_mean": float(confidences.mean()),
        "low_confidence_ratio": None if least is None else float(np.mean(confidences < least)),
        "classes": {label: count / counts.total() for label, count in counts.most_common()},
    }


def judge(found: dict[str, Any], params: MonitorParams) -> list[Rule]:
    """Hold what `recent` found against the limits; what has none, or is not known, is left out."""
    mean, low, classes = (found.get(name) for name in ("confidence_mean", "low_confidence_ratio", "classes"))
    rules = [
        ("mean_confidence", mean, params.min_confidence, True),
        ("low_confidence_ratio", low, params.max_low_confidence, False),
        ("mean_inference_ms", found["inference_ms"]["mean"], params.max_inference_ms, False),
        ("largest_class_share", max(classes.values()) if classes else None, params.max_class_share, False),
    ]
    return [
        Rule(name, value, limit, value < limit if is_least else value > limit)
        for name, value, limit, is_least in rules
        if value is not None and limit is not None
    ]
