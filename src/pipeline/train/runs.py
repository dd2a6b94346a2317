"""Runs of MLflow: one for an experiment, and nested ones for its candidates and its folds."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import PipelineError
from pipeline.learn.candidate import Candidate
from pipeline.learn.cross_validation import by_fold
from pipeline.store.stale_runs import end_models
from pipeline.support.processes import owner_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LONGEST_TAG = 500


@contextmanager
def experiment_run(experiment_id: str, run_name: str, tags: Mapping[str, str]) -> Iterator["Run"]:
    """Open a run and yield it; when the block raises, the run is FAILED and its tag `error` says why."""
    import mlflow

    with mlflow.start_run(experiment_id=experiment_id, run_name=run_name, tags={**tags, **owner_tags()}) as run:
        try:
            yield run
        except BaseException as error:
            mlflow.set_tag("error", _reason(error)[:LONGEST_TAG])
            end_models(mlflow.MlflowClient(), experiment_id, run.info.run_id)
            raise


def _reason(error: BaseException) -> str:
    if isinstance(error, PipelineError):
        return error.problem
    raised: BaseException | None = error
    while raised is not None:  # where a library was stopped, its own clean-up may have failed: a lock that it lost
        if isinstance(raised, SystemExit):
            return "stopped by a signal"
        raised = raised.__context__
    return f"{type(error).__name__}: {error}"


class NestedRuns:
    """Records candidates and folds of one experiment run, each in one batch.

    Parameters
    ----------
    client : MlflowClient
    parent : Run
        The experiment run they belong to.
    loss : str
        The name of the folds' scores.
    """

    def __init__(self, client: "MlflowClient", parent: "Run", loss: str) -> None:
        self.client = client
        self.parent = parent
        self.loss = loss
        self.started = _now()

    def record_candidate(self, candidate: Candidate) -> None:
        """Write a candidate's parameters and the score of every fold; their mean too, unless it was dropped before."""
        metrics = by_fold(candidate.fold_scores, self.loss)
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
        self._write(f"candidate_{number}", tags, metrics, {"rounds": rounds, **candidate.sampled})

    def record_fold(self, number: int, metrics: Mapping[str, float], rounds: int) -> None:
        """Write the metrics of a fold's validation rows, predicted by the parameters the experiment chose."""
        named = {f"valid_{name}": value for name, value in metrics.items()}
        self._write(f"fold_{number}", {"fold": str(number)}, named, {"rounds": rounds})

    def _write(
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
    """Milliseconds since the epoch, as MLflow counts time."""
    return int(time.time() * 1000)
