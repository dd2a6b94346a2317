"""The numbers that are tracked of one arm: of the time since the last point, of the session, and of the newest rows."""

import re
import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.service.answered import Answered, ModelIdentity

LONGEST_LABEL = 200  # signs of a label in a metric's name, of the 250 that MLflow takes


@dataclass
class _Moments:
    """Count, mean, spread and range of values of which none are kept.

    Two are merged by the pairwise update of Chan, Golub & LeVeque, *Updating formulae and a pairwise algorithm for
    computing sample variances* (1979), which loses no digits where the spread is small beside the mean.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0  # sum of squared differences from the mean
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Self:
        if not len(values):
            return cls()
        mean = float(values.mean())
        return cls(len(values), mean, float(((values - mean) ** 2).sum()), float(values.min()), float(values.max()))

    def merge(self, other: "_Moments") -> None:
        count = self.count + other.count
        if not count:
            return
        apart = other.mean - self.mean
        self.squares += other.squares + apart**2 * self.count * other.count / count
        self.mean += apart * other.count / count
        self.count = count
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    @property
    def std(self) -> float:
        return float(np.sqrt(self.squares / self.count))


@dataclass
class _Period:
    """What a stretch of time adds up to; probabilities and classes by the text of their label."""

    inference: _Moments = field(default_factory=_Moments)
    confidence: _Moments = field(default_factory=_Moments)
    value: _Moments = field(default_factory=_Moments)
    rows: int = 0
    probabilities: Counter[str] = field(default_factory=Counter)  # sums
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
    """How requests ended, and how long health checks took."""

    count: int = 0
    server_errors: int = 0
    client_errors: int = 0
    health_checks: int = 0
    health_ms: float = 0.0


class Statistics:
    """What is tracked of one arm in one session.

    Answers are added by the recorder's thread, requests counted by the server's, points taken by the tracking thread.

    Parameters
    ----------
    recent : int
        How many of the newest predictions the ``recent_`` metrics look at; a new model version starts anew.
    min_confidence : float, optional
        In percent; a prediction below it is one of low confidence. Without, their share is left out.
    """

    def __init__(self, recent: int, min_confidence: float | None) -> None:
        self.min_confidence = min_confidence
        self._answers = threading.Lock()  # never taken on the request path
        self._since, self._session = _Period(), _Period()
        self._confidences: deque[float] = deque(maxlen=recent)
        self._values: deque[float] = deque(maxlen=recent)
        self._version: int | None = None
        self._names: dict[str, str] = {}  # text of a label -> what stands for it in metric names
        self._asked = threading.Lock()  # held for no more than an addition
        self._requests = _Requests()
        self._drift_detected: bool | None = None

    def add(self, answered: list[Answered]) -> None:
        """Take in answered requests, in the order of their time."""
        for model, some in groupby(answered, key=lambda one: one.model):
            self._add(model, list(some))

    def requested(self, status: int | None) -> None:
        """Count a request for predictions or explanations.

        Parameters
        ----------
        status : int or None
            The HTTP status of the answer; None where there was none.
        """
        with self._asked:
            self._requests.count += 1
            self._requests.server_errors += status is None or status >= 500
            self._requests.client_errors += status is not None and 400 <= status < 500

    def health_checked(self, elapsed_ms: float) -> None:
        """Count an answered health check."""
        with self._asked:
            self._requests.health_checks += 1
            self._requests.health_ms += elapsed_ms

    def point(self, drift_detected: bool) -> dict[str, float]:
        """Return the metrics since the last point, and begin the next.

        Returns
        -------
        dict of str to float
            By metric name. What is not known is left out: means of what did not happen, ``session_`` and ``recent_``
            metrics when there was no new prediction. Empty when nothing happened at all.
        """
        with self._answers:
            since, self._since = self._since, _Period()
            self._session.merge(since)
            confidences, values = np.array(self._confidences), np.array(self._values)
        with self._asked:
            requests, self._requests = self._requests, _Requests()
        turned, self._drift_detected = drift_detected != self._drift_detected, drift_detected
        if not (since.rows or requests.count or requests.health_checks or turned):
            return {}
        metrics = {"drift_detected": float(drift_detected), "prediction_count": float(since.rows)}
        if requests.count:
            metrics["error_rate"] = requests.server_errors / requests.count
            metrics["client_error_rate"] = requests.client_errors / requests.count
        if requests.health_checks:
            metrics["health_check_response_time_ms"] = requests.health_ms / requests.health_checks
        if since.rows:
            metrics |= self._of_answers(since, confidences, values)
        return metrics

    def _add(self, model: ModelIdentity, answered: list[Answered]) -> None:
        predictions = list(chain.from_iterable(one.outputs.predictions for one in answered))
        period = _Period(_Moments.of(np.array([one.elapsed_ms for one in answered])), rows=len(predictions))
        confidences, values = np.empty(0), np.empty(0)
        if model.labels is None:
            values = np.array(predictions, dtype=np.float64)
            period.value = _Moments.of(values)
        else:
            texts = [str(label) for label in model.labels]
            rows = chain.from_iterable(one.outputs.probabilities or [] for one in answered)
            probabilities = np.array(list(rows), dtype=np.float64).reshape(-1, len(texts))
            confidences = 100 * probabilities.max(axis=1)
            period.confidence = _Moments.of(confidences)
            period.probabilities = Counter(dict(zip(texts, probabilities.sum(axis=0).tolist(), strict=True)))
            period.classes = Counter(dict.fromkeys(texts, 0))
            period.classes.update({str(label): count for label, count in Counter(predictions).items()})
        with self._answers:
            if model.version != self._version:
                self._version = model.version
                self._confidences.clear()
                self._values.clear()
            self._since.merge(period)
            self._confidences.extend(confidences[-(self._confidences.maxlen or 0) :].tolist())
            self._values.extend(values[-(self._values.maxlen or 0) :].tolist())

    def _of_answers(
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
            names = self._label_names(list(session.classes))
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

    def _label_names(self, labels: Sequence[str]) -> dict[str, str]:
        """Name labels as MLflow takes it; a label keeps its name as long as the session lasts."""
        taken = {name.casefold() for name in self._names.values()}  # there are databases that fold case
        for label in labels:
            if label not in self._names:
                plain = name = re.sub(r"[^\w.-]+", "_", label)[:LONGEST_LABEL]
                number = 1
                while name.casefold() in taken:
                    number += 1
                    name = f"{plain}_{number}"
                self._names[label] = name
                taken.add(name.casefold())
        return self._names
