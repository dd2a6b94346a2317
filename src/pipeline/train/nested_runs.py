"""Each candidate of a search as a nested MLflow run, written in one batch."""

import time
from typing import TYPE_CHECKING

import numpy as np

from pipeline.train.cross_validation import by_fold
from pipeline.train.scoring import Candidate

if TYPE_CHECKING:
    from mlflow import MlflowClient


class NestedRuns:
    """Records the candidates of one experiment run.

    Parameters
    ----------
    client : MlflowClient
    experiment_id, parent_id, run_name : str
        Of the experiment run the candidates belong to.
    """

    def __init__(self, client: "MlflowClient", experiment_id: str, parent_id: str, run_name: str) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.parent_id = parent_id
        self.run_name = run_name
        self.started = _now()

    def record(self, candidate: Candidate) -> None:
        """Write a candidate's parameters and the metric of every fold; their mean too, unless it was dropped before."""
        from mlflow.entities import Metric, Param

        now, metrics = _now(), by_fold(candidate.fold_rmse)
        if not candidate.dropped:
            metrics |= {"cv_rmse_mean": candidate.rmse_mean, "cv_rmse_std": float(np.std(candidate.fold_rmse))}
        params = {**candidate.sampled, "n_estimators": max(1, round(float(np.mean(candidate.fold_rounds))))}
        tags = {
            "mlflow.parentRunId": self.parent_id,
            "mlflow.runName": f"{self.run_name}_candidate_{candidate.number:03d}",
            "candidate": str(candidate.number),
            "dropped": str(candidate.dropped).lower(),
        }
        run_id = self.client.create_run(self.experiment_id, start_time=self.started, tags=tags).info.run_id
        status = "FAILED"
        try:
            self.client.log_batch(
                run_id,
                metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
                params=[Param(name, str(value)) for name, value in params.items()],
            )
            status = "FINISHED"
        finally:
            self.client.set_terminated(run_id, status=status, end_time=now)
        self.started = now


def _now() -> int:
    """Milliseconds since the epoch, as MLflow counts time."""
    return int(time.time() * 1000)
