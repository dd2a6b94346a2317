"""Sessions of the service that are tracked, and answers to track."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pipeline.service.answered import Answered, Arm, ModelIdentity, Outputs
from pipeline.service.tracking.statistics import Statistics
from pipeline.service.tracking.tracking_run import Tracked, TrackingRun
from pipeline.store.open import open_store

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
