"""Compute the tracked metrics of one arm: since the last point, of the whole session, and of the newest rows."""

import re
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.features.decision import confidences as confidences_of
from pipeline.service.records import ModelIdentity, PredictionRecord

LONGEST_LABEL = 200  # characters of a class in a metric name; MLflow accepts 250 for the whole name


@dataclass
class _Moments:
    """Running count, mean, standard deviation and range of values that are not stored.

    Two are merged by the pairwise update of Chan, Golub & LeVeque, *Updating formulae and a pairwise algorithm for
    computing sample variances* (1979), which stays precise when the deviation is small compared to the mean.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of squared differences from the mean
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def from_values(cls, values: NDArray[np.float64]) -> Self:
        if not len(values):
            return cls()
        mean = float(values.mean())
        return cls(len(values), mean, float(((values - mean) ** 2).sum()), float(values.min()), float(values.max()))

    def merge(self, other: "_Moments") -> None:
        count = self.count + other.count
        if not count:
            return
        difference = other.mean - self.mean
        self.squares += other.squares + difference**2 * self.count * other.count / count
        self.mean += difference * other.count / count
        self.count = count
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    @property
    def std(self) -> float:
        return float(np.sqrt(self.squares / self.count))


@dataclass
class _Period:
    """Totals over a period of time; probabilities and counts are keyed by class, as a string."""

    inference: _Moments = field(default_factory=_Moments)
    confidence: _Moments = field(default_factory=_Moments)
    value: _Moments = field(default_factory=_Moments)
    rows: int = 0
    probabilities: Counter[str] = field(default_factory=Counter)  # summed
    classes: Counter[str] = field(default_factory=Counter)

    def merge(self, other: "_Period") -> None:
        self.inference.merge(other.inference)
        self.confidence.merge(other.confidence)
        self.value.merge(other.value)
        self.rows += other.rows
        self.probabilities.update(other.probabilities)
        self.classes.update(other.classes)


@dataclass
class _Requests:
    """Numbers of requests by outcome, and the total time of health checks."""

    count: int = 0
    server_errors: int = 0
    client_errors: int = 0
    health_checks: int = 0
    health_ms: float = 0.0


class Statistics:
    """The tracked metrics of one arm in one session.

    It is shared by three threads: the recorder's adds predictions, the server's counts requests, and the tracking
    thread takes points.

    Parameters
    ----------
    recent : int
        Number of newest predictions that the ``recent_`` metrics cover. A new model version resets them.
    min_confidence : float, optional
        In percent; predictions below it count as low-confidence. If None, their share is not reported.
    """

    def __init__(self, recent: int, min_confidence: float | None) -> None:
        self.min_confidence = min_confidence
        self._prediction_lock = threading.Lock()  # never acquired on the request path
        self._since, self._session = _Period(), _Period()
        self._confidences: deque[float] = deque(maxlen=recent)
        self._values: deque[float] = deque(maxlen=recent)
        self._version: int | None = None
        self._names: dict[str, str] = {}  # class -> its name in metric names
        self._request_lock = threading.Lock()  # held for additions only
        self._requests = _Requests()
        self._drift_detected: bool | None = None

    def add(self, records: list[PredictionRecord]) -> None:
        """Add predictions, in chronological order."""
        for model, group in groupby(records, key=lambda record: record.model):
            self._add(model, list(group))

    def count_request(self, status: int | None) -> None:
        """Count a request for predictions or explanations.

        Parameters
        ----------
        status : int or None
            The HTTP status of the response; None if there was none.
        """
        with self._request_lock:
            self._requests.count += 1
            self._requests.server_errors += status is None or status >= 500
            self._requests.client_errors += status is not None and 400 <= status < 500

    def count_health_check(self, elapsed_ms: float) -> None:
        """Count a health check."""
        with self._request_lock:
            self._requests.health_checks += 1
            self._requests.health_ms += elapsed_ms

    def point(self, drift_detected: bool) -> dict[str, float]:
        """Return the metrics since the last point, and start the next period.

        Parameters
        ----------
        drift_detected : bool
            Whether there is a drift alarm now.

        Returns
        -------
        dict of str to float
            By metric name. Metrics without data are left out: means over no values, and the ``session_`` and
            ``recent_`` metrics if there was no new prediction. Empty if nothing happened.
        """
        with self._prediction_lock:
            since, self._since = self._since, _Period()
            self._session.merge(since)
            confidences, values = np.array(self._confidences), np.array(self._values)
        with self._request_lock:
            requests, self._requests = self._requests, _Requests()
        drift_changed, self._drift_detected = drift_detected != self._drift_detected, drift_detected
        if not (since.rows or requests.count or requests.health_checks or drift_changed):
            return {}
        metrics = {"drift_detected": float(drift_detected), "prediction_count": float(since.rows)}
        if requests.count:
            metrics["error_rate"] = requests.server_errors / requests.count
            metrics["client_error_rate"] = requests.client_errors / requests.count
        if requests.health_checks:
            metrics["health_check_response_time_ms"] = requests.health_ms / requests.health_checks
        if since.rows:
            metrics |= self._prediction_metrics(since, confidences, values)
        return metrics

    def _add(self, model: ModelIdentity, records: list[PredictionRecord]) -> None:
        predictions = list(chain.from_iterable(record.outputs.predictions for record in records))
        period = _Period(
            _Moments.from_values(np.array([record.elapsed_ms for record in records])), rows=len(predictions)
        )
        confidences: NDArray[np.float64] = np.empty(0)
        values: NDArray[np.float64] = np.empty(0)
        if model.labels is None:
            values = np.array(predictions, dtype=np.float64)
            period.value = _Moments.from_values(values)
        else:
            classes = [str(label) for label in model.labels]
            rows = chain.from_iterable(record.outputs.probabilities or [] for record in records)
            probabilities = np.array(list(rows), dtype=np.float64).reshape(-1, len(classes))
            confidences = 100 * confidences_of(probabilities, records[0].outputs.threshold)
            period.confidence = _Moments.from_values(confidences)
            period.probabilities = Counter(dict(zip(classes, probabilities.sum(axis=0).tolist(), strict=True)))
            period.classes = Counter(dict.fromkeys(classes, 0))
            period.classes.update({str(label): count for label, count in Counter(predictions).items()})
        with self._prediction_lock:
            if model.version != self._version:
                self._version = model.version
                self._confidences.clear()
                self._values.clear()
            self._since.merge(period)
            self._confidences.extend(confidences[-(self._confidences.maxlen or 0) :].tolist())
            self._values.extend(values[-(self._values.maxlen or 0) :].tolist())

    def _prediction_metrics(
        self, since: _Period, confidences: NDArray[np.float64], values: NDArray[np.float64]
    ) -> dict[str, float]:
        session = self._session
        metrics = {
            "prediction_inference_time_ms": since.inference.mean,
            "session_total_predictions": float(session.rows),
            "session_avg_inference_time_ms": session.inference.mean,
        }
        if since.confidence.count:
            metrics["prediction_confidence"] = since.confidence.mean
            metrics["session_avg_confidence"] = session.confidence.mean
            names = self._metric_names(list(session.classes))
            for label, total in since.probabilities.items():
                metrics[f"prob_{names[label]}"] = total / since.confidence.count
            for label, count in session.classes.items():
                metrics[f"class_dist_{names[label]}"] = count / session.confidence.count
        if len(confidences):
            metrics["recent_avg_confidence"] = float(confidences.mean())
            if self.min_confidence is not None:
                metrics["recent_low_confidence_ratio"] = float((confidences < self.min_confidence).mean())
        if since.value.count:
            metrics |= {
                "prediction_value_mean": since.value.mean,
                "prediction_value_min": since.value.low,
                "prediction_value_max": since.value.high,
                "prediction_value_std": since.value.std,
                "session_avg_value": session.value.mean,
            }
        if len(values):
            metrics["recent_avg_value"] = float(values.mean())
        return metrics

    def _metric_names(self, labels: Sequence[str]) -> dict[str, str]:
        """Return classes as valid and unique MLflow metric names, which stay the same throughout the session."""
        taken = {name.casefold() for name in self._names.values()}  # some databases ignore case
        for label in labels:
            if label not in self._names:
                base = name = re.sub(r"[^\w.-]+", "_", label)[:LONGEST_LABEL]
                number = 1
                while name.casefold() in taken:
                    number += 1
                    name = f"{base}_{number}"
                self._names[label] = name
                taken.add(name.casefold())
        return self._names
