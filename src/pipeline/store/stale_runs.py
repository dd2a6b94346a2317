"""Find and end stale runs: runs in status RUNNING whose process was killed or ended with its machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.store.lookup import search_all
from pipeline.support.processes import is_gone
from pipeline.support.progress import progress

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def stale_runs(client: "MlflowClient") -> list["Run"]:
    """Return the RUNNING runs whose process has ended; only processes of this host can be checked."""
    experiments = [str(experiment.experiment_id) for experiment in search_all(client.search_experiments)]
    running = search_all(client.search_runs, experiments, "attributes.status = 'RUNNING'") if experiments else []
    return [run for run in running if _is_stale(run)]


def end_stale_runs(client: "MlflowClient") -> None:
    """End stale runs and their unfinished models as FAILED, skipping those that this user may not change."""
    for run in stale_runs(client):
        with ignore_permission_denied():
            _end(client, run)


@contextmanager
def ignore_permission_denied() -> Iterator[None]:
    """Ignore the server's PERMISSION_DENIED errors."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "PERMISSION_DENIED":
            raise


def end_models(client: "MlflowClient", experiment_id: str, run_id: str) -> None:
    """Set the unfinished logged models of a run that has ended to FAILED."""
    for model in client.search_logged_models([experiment_id], filter_string=f"source_run_id = '{run_id}'"):
        if model.status == "PENDING":
            client.finalize_logged_model(model.model_id, "FAILED")


def _end(client: "MlflowClient", run: "Run") -> None:
    tags = run.data.tags
    end_models(client, run.info.experiment_id, run.info.run_id)
    client.set_tag(run.info.run_id, "error", f"killed: process {tags['pid']} of {tags['host']} is gone")
    client.set_terminated(run.info.run_id, "FAILED")
    progress(f"cleaned up: run {run.info.run_name} ({run.info.run_id}) set to FAILED, because its process has ended")


def _is_stale(run: "Run") -> bool:
    tags = run.data.tags
    return is_gone(tags.get("host", ""), tags.get("pid", ""), tags.get("process_started", ""))
