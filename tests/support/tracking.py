"""Tracked sessions of the service and predictions to track."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pipeline.service.records import Arm, ModelIdentity, Outputs, PredictionRecord
from pipeline.service.tracking.statistics import Statistics
from pipeline.service.tracking.tracking_run import TrackedArm, TrackingRun
from pipeline.store.open import open_store

LABELS = ["setosa", "versicolor", "virginica"]
PARAMS = {"MLFLOW_MODEL_NAME": "iris", "MODEL_VERSION": ""}


def model(labels: list[Any] | None, version: int = 1) -> ModelIdentity:
    """Return the identity of a model with these classes."""
    return ModelIdentity("iris", version, "r" * 32, {"x": "number"}, labels)


def request(
    identity: ModelIdentity, predictions: list[Any], elapsed_ms: float = 1.0, arm: Arm = "production"
) -> PredictionRecord:
    """Return a request with its predictions, which are values or class probabilities."""
    outputs = Outputs(predictions)
    if identity.labels is not None:
        outputs = Outputs([identity.labels[int(np.argmax(row))] for row in predictions], predictions)
    ids = [f"id{number}" for number in range(len(predictions))]
    return PredictionRecord(time.time(), ids, arm, identity, {"x": [0.0] * len(ids)}, outputs, elapsed_ms)


def session(
    statistics: Mapping[Arm, Statistics], version: Callable[[], int | None] = lambda: 1, max_points: int = 1000
) -> TrackingRun:
    """Return a session that records a point every 0.05 seconds."""
    arms = {arm: TrackedArm(arm_statistics, lambda: False, version) for arm, arm_statistics in statistics.items()}
    return TrackingRun("iris-serving", "iris", arms, PARAMS, 0.05, max_points)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def history(run_id: str, name: str) -> list[tuple[int, float]]:
    """Return step and value of every point of a metric; check that timestamps rise with the steps."""
    points = sorted(open_store().get_metric_history(run_id, name), key=lambda point: point.step)
    times = [point.timestamp for point in points]
    assert times == sorted(times)
    return [(point.step, point.value) for point in points]
