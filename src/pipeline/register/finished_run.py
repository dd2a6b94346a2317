"""Look up the run to register, and check it before anything is written."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RegistryError
from pipeline.store.logged_model import LOGGED_SHA256, MODEL_SHA256, download_verified
from pipeline.store.lookup import find_run, search_all
from pipeline.store.open import check_run_not_moved, logged_model_id, mlflow_command
from pipeline.support.files import read_json
from pipeline.support.paths import BEST_MODEL_INFO

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Prefixes of metrics that do not measure the model on new rows: of single folds, training rows, the ONNX graph.
OTHER_METRIC_PREFIXES = ("fold_", "train_", "training_", "onnx_")
TAGS = ("data_sha256", "git_commit", "git_dirty", MODEL_SHA256, "family", LOGGED_SHA256)  # copied to the version
TRAIN = "dvc repro -f -s model_train && dvc repro"
FIND_RUN = "python src/model_register.py --list shows the runs of versions, and the MLflow UI all runs"


@dataclass(frozen=True)
class FinishedRun:
    """A finished run with an intact logged model.

    Attributes
    ----------
    metrics : dict of str to float
        Test and cross-validation metrics.
    tags : dict of str to str
        The `TAGS` that the run has; one trained outside a git repository has no commit.
    """

    run_id: str
    model_id: str
    metrics: dict[str, float]
    tags: dict[str, str]


def find_finished_run(client: "MlflowClient", folder: Path, run_id: str | None) -> FinishedRun:
    """Return the run with this ID or, by default, the winner of stage model_train.

    Raises
    ------
    RegistryError
        If the run is missing, deleted or not FINISHED, or its model is missing or was changed.
    """
    if run_id is None:
        run_id = str(read_json(folder / BEST_MODEL_INFO, "dvc repro", "mlflow_run_id")["mlflow_run_id"])
        remedy = f"train again: {TRAIN}"
    else:
        run_id, remedy = _complete_run_id(client, run_id), f"give the ID of an experiment run: {FIND_RUN}"
    run = find_run(client, run_id)
    if run is None:
        raise RegistryError(f"MLflow run {run_id} is not in the store", remedy)
    check_run_not_moved(run)
    if run.info.lifecycle_stage != "active":
        raise RegistryError(
            f"MLflow run {run_id} has been deleted",
            f"{mlflow_command('mlflow runs restore')} --run-id {run_id}, or {remedy}",
        )
    if run.info.status != "FINISHED":
        raise RegistryError(f"MLflow run {run_id} is {run.info.status}, not FINISHED", remedy)
    if "mlflow.parentRunId" in run.data.tags:
        raise RegistryError(f"MLflow run {run_id} is a search candidate or a fold, and has no model", remedy)
    model_id = logged_model_id(run)
    with tempfile.TemporaryDirectory() as temporary:
        download_verified(f"models:/{model_id}", run.data.tags, Path(temporary) / "model", remedy)
    return FinishedRun(
        run_id=run_id,
        model_id=model_id,
        metrics={
            name: value
            for name, value in sorted(run.data.metrics.items())
            if not name.startswith(OTHER_METRIC_PREFIXES)
        },
        tags={name: run.data.tags[name] for name in TAGS if name in run.data.tags},
    )


def _complete_run_id(client: "MlflowClient", prefix: str) -> str:
    """Return the run ID that starts with `prefix`, or `prefix` itself if there is none.

    Raises
    ------
    RegistryError
        If several IDs start with it.
    """
    if not re.fullmatch("[0-9a-f]{4,31}", prefix):
        return prefix
    experiments = [str(experiment.experiment_id) for experiment in search_all(client.search_experiments)]
    found = client.search_runs(experiments, f"attributes.run_id LIKE '{prefix}%'", max_results=2)
    if len(found) > 1:
        raise RegistryError(f"several run IDs start with {prefix}", "give more characters of the ID")
    return str(found[0].info.run_id) if found else prefix
