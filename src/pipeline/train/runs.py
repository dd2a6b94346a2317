"""Create MLflow runs: one for an experiment, and nested runs for its candidates and folds."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import PipelineError
from pipeline.learn.candidate import Candidate
from pipeline.learn.cross_validation import per_fold_metrics
from pipeline.store.stale_runs import end_models
from pipeline.support.processes import owner_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MAX_TAG_LENGTH = 500


@contextmanager
def experiment_run(experiment_id: str, run_name: str, tags: Mapping[str, str]) -> Iterator["Run"]:
    """Start a run and yield it; if the block raises, the run ends FAILED with the reason in its tag `error`."""
    import mlflow

    with mlflow.start_run(experiment_id=experiment_id, run_name=run_name, tags={**tags, **owner_tags()}) as run:
        try:
            yield run
        except BaseException as error:
            mlflow.set_tag("error", _reason(error)[:MAX_TAG_LENGTH])
            end_models(mlflow.MlflowClient(), experiment_id, run.info.run_id)
            raise


def _reason(error: BaseException) -> str:
    if isinstance(error, PipelineError):
        return error.problem
    raised: BaseException | None = error
    while raised is not None:  # cleaning up after SystemExit may have raised another error
        if isinstance(raised, SystemExit):
            return "stopped by a signal"
        raised = raised.__context__
    return f"{type(error).__name__}: {error}"


class NestedRuns:
    """Nested runs for the candidates and folds of one experiment run, each logged in one batch.

    Parameters
    ----------
    client : MlflowClient
    parent : Run
        The experiment run.
    loss : str
        The name of the loss that folds are scored with.
    """

    def __init__(self, client: "MlflowClient", parent: "Run", loss: str) -> None:
        self.client = client
        self.parent = parent
        self.loss = loss
        self.started = _now()

    def record_candidate(self, candidate: Candidate) -> None:
        """Record a candidate's parameters and fold scores and, unless it was dropped early, their mean."""
        metrics = per_fold_metrics(candidate.fold_scores, self.loss)
        if not candidate.dropped:
            deviation = float(np.std(candidate.fold_scores))
            metrics |= {f"cv_{self.loss}_mean": candidate.mean, f"cv_{self.loss}_std": deviation}
        rounds = max(1, round(float(np.mean(candidate.fold_rounds))))
        number = f"{candidate.number:03d}"
        tags = {
            "candidate": str(candidate.number),
            "dropped": str(candidate.dropped).lower(),
            "folds": ",".join(str(fold) for fold in range(1, len(candidate.fold_scores) + 1)),
        }
        self._record(f"candidate_{number}", tags, metrics, {"rounds": rounds, **candidate.sampled})

    def record_fold(self, number: int, metrics: Mapping[str, float], rounds: int) -> None:
        """Record the metrics of a fold's validation rows, with the hyperparameters of the experiment."""
        prefixed = {f"valid_{name}": value for name, value in metrics.items()}
        self._record(f"fold_{number}", {"fold": str(number)}, prefixed, {"rounds": rounds})

    def _record(
        self, name: str, tags: Mapping[str, str], metrics: Mapping[str, float], params: Mapping[str, object]
    ) -> None:
        from mlflow.entities import Metric, Param

        now, parent = _now(), self.parent
        tags = {
            "mlflow.parentRunId": parent.info.run_id,
            "mlflow.runName": f"{parent.info.run_name}_{name}",
            "family": parent.data.tags["family"],
            **owner_tags(),
            **tags,
        }
        run_id = self.client.create_run(parent.info.experiment_id, start_time=self.started, tags=tags).info.run_id
        status = "FAILED"
        try:
            self.client.log_batch(
                run_id,
                metrics=[Metric(key, value, now, 0) for key, value in metrics.items()],
                params=[Param(key, str(value)) for key, value in params.items()],
            )
            status = "FINISHED"
        finally:
            self.client.set_terminated(run_id, status=status, end_time=now)
        self.started = now


def _now() -> int:
    """Return the time in milliseconds since the epoch, as MLflow does."""
    return int(time.time() * 1000)
