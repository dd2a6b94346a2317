"""Create, write and end the MLflow runs of a session of the service."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.service.records import Arm
from pipeline.store.open import mask_passwords, open_experiment, open_store, refresh_client
from pipeline.store.stale_runs import end_stale_runs
from pipeline.support.processes import owner_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

Served = Mapping[Arm, Mapping[int, str]]  # model version -> time from which it is served; the current one is last
BATCH = 900  # metrics in one call; MLflow accepts 1,000 metrics, params and tags together


@dataclass(frozen=True)
class Point:
    """The metrics of all arms at one point in time.

    Attributes
    ----------
    step : int
        Number of the point within the session.
    time_ms : int
        Milliseconds since the epoch.
    metrics : mapping of str to mapping of str to float
        By arm and metric name.
    """

    step: int
    time_ms: int
    metrics: Mapping[Arm, Mapping[str, float]]

    @property
    def size(self) -> int:
        """The number of metrics."""
        return sum(len(metrics) for metrics in self.metrics.values())


class SessionRuns:
    """The MLflow run of a session, with a nested run for each arm other than production.

    Every method can be retried after a failure: it creates nothing twice, and MLflow stores a metric with the same
    name, step, time and value only once.

    Parameters
    ----------
    experiment : str
        Name of the experiment, which is created on first use.
    model_name : str
    arms : sequence of str
        Production first.
    params : mapping of str to str
        Params to log to the session's run.
    """

    def __init__(self, experiment: str, model_name: str, arms: Sequence[Arm], params: Mapping[str, str]) -> None:
        self.experiment = experiment
        self.model_name = model_name
        self.arms = arms
        self.params = params
        self.started = datetime.now(UTC)
        self.run_ids: dict[Arm, str] = {}
        self._tagged: dict[Arm, dict[str, str]] = {}
        self._client: MlflowClient | None = None

    def open(self) -> "MlflowClient":
        """Return a client, after creating the runs or checking that the server responds.

        Without that check, MLflow's client would wait minutes for a server that does not respond.

        Raises
        ------
        StoreError
            When the store is not available.
        """
        if self._client is not None:
            self._client = refresh_client(self._client)
            return self._client
        from mlflow.entities import Param

        client = open_store()
        experiment_id = open_experiment(client, self.experiment)
        for arm in self.arms:
            if arm not in self.run_ids:
                run = client.create_run(experiment_id, int(self.started.timestamp() * 1000), self._tags(arm))
                self.run_ids[arm] = run.info.run_id
        params = [Param(name, value) for name, value in self.params.items()]
        client.log_batch(self.run_ids["production"], params=params)
        self._client = client
        _sweep(client)
        return client

    def write(self, points: Sequence[Point], served: Served) -> None:
        """Log points as metrics, and the served model versions as tags."""
        from mlflow.entities import Metric, RunTag

        client = self.open()
        for arm in self.arms:
            metrics = [
                Metric(name, value, point.time_ms, point.step)
                for point in points
                for name, value in point.metrics.get(arm, {}).items()
            ]
            if not metrics:
                continue
            tags = _version_tags(served[arm])
            new_tags = [RunTag(*tag) for tag in tags.items() if tag not in self._tagged.get(arm, {}).items()]
            for start in range(0, len(metrics), BATCH):
                client.log_batch(self.run_ids[arm], metrics[start : start + BATCH], tags=new_tags if start == 0 else [])
            self._tagged[arm] = tags

    def end(self) -> None:
        """End the runs with status FINISHED."""
        client = self.open()
        for run_id in reversed(self.run_ids.values()):
            client.set_terminated(run_id, "FINISHED", int(time.time() * 1000))

    def _tags(self, arm: Arm) -> dict[str, str]:
        name = f"serving {self.started:%Y-%m-%d %H:%M:%S}"
        tags = {"stage": "serving", "model_name": self.model_name, "arm": arm, **owner_tags()}
        if arm == "production":
            return {"mlflow.runName": name, **tags}
        return {"mlflow.runName": f"{name} {arm}", "mlflow.parentRunId": self.run_ids["production"], **tags}


def _version_tags(served: Mapping[int, str]) -> dict[str, str]:
    if not served:
        return {}
    since = {f"model_version_{version}_since": time for version, time in served.items()}
    return {"model_version": str(list(served)[-1]), "model_versions": ", ".join(map(str, served)), **since}


def _sweep(client: "MlflowClient") -> None:
    """End the runs of killed sessions; a failure here must not stop the tracking of this session."""
    try:
        end_stale_runs(client)
    except Exception as error:
        log.warning("tracking: could not end the runs of killed processes: %s", mask_passwords(str(error)))
