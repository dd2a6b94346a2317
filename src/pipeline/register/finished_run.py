"""The run that is to be registered, looked up and checked before anything is written."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RegistryError
from pipeline.store.logged_model import LOGGED_SHA256, MODEL_SHA256, fetch_logged
from pipeline.store.lookup import find_run, pages
from pipeline.store.open import check_run_not_moved, logged_model_of, with_store
from pipeline.support.files import read_json
from pipeline.support.paths import BEST_MODEL_INFO

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Metrics that do not say how good a model is: of single folds, of the training rows, of its ONNX graph.
NOT_OF_MODEL = ("fold_", "train_", "training_", "onnx_")
TAGS = ("data_sha256", "git_commit", "git_dirty", MODEL_SHA256, "family", LOGGED_SHA256)  # that its version gets too
TRAIN = "dvc repro -f -s model_train && dvc repro"
LOOK = "python src/model_register.py --list shows those of versions, MLflow's page all"


@dataclass(frozen=True)
class FinishedRun:
    """A finished run with a whole logged model.

    Attributes
    ----------
    metrics : dict of str to float
        Its test and cross-validation metrics.
    tags : dict of str to str
        Those of `TAGS` that it has: it has no commit when it was trained outside a git repository.
    """

    run_id: str
    model_id: str
    metrics: dict[str, float]
    tags: dict[str, str]


def find_finished_run(client: "MlflowClient", folder: Path, run_id: str | None) -> FinishedRun:
    """Look up the run `run_id`, or the winner that stage model_train wrote down.

    Raises
    ------
    RegistryError
        When the run is not in the store, is deleted, is not FINISHED, or its model is missing or changed.
    """
    if run_id is None:
        run_id = str(read_json(folder / BEST_MODEL_INFO, "dvc repro", "mlflow_run_id")["mlflow_run_id"])
        remedy = f"train anew: {TRAIN}"
    else:
        run_id, remedy = _whole(client, run_id), f"name the id of an experiment's run: {LOOK}"
    run = find_run(client, run_id)
    if run is None:
        raise RegistryError(f"MLflow run {run_id} is not in the store", remedy)
    check_run_not_moved(run)
    if run.info.lifecycle_stage != "active":
        raise RegistryError(
            f"MLflow run {run_id} has been deleted",
            f"{with_store('mlflow runs restore')} --run-id {run_id}, or {remedy}",
        )
    if run.info.status != "FINISHED":
        raise RegistryError(f"MLflow run {run_id} is {run.info.status}, not FINISHED", remedy)
    if "mlflow.parentRunId" in run.data.tags:
        raise RegistryError(f"MLflow run {run_id} is a candidate of a search or a fold, which has no model", remedy)
    model_id = logged_model_of(run)
    with tempfile.TemporaryDirectory() as temporary:
        fetch_logged(f"models:/{model_id}", run.data.tags, Path(temporary) / "model", remedy)
    return FinishedRun(
        run_id=run_id,
        model_id=model_id,
        metrics={name: value for name, value in sorted(run.data.metrics.items()) if not name.startswith(NOT_OF_MODEL)},
        tags={name: run.data.tags[name] for name in TAGS if name in run.data.tags},
    )


def _whole(client: "MlflowClient", start: str) -> str:
    """Return the run id that begins so; what is given when none does, or it is no such beginning.

    Raises
    ------
    RegistryError
        When several do.
    """
    if not re.fullmatch("[0-9a-f]{4,31}", start):
        return start
    experiments = [str(one.experiment_id) for one in pages(client.search_experiments)]
    found = client.search_runs(experiments, f"attributes.run_id LIKE '{start}%'", max_results=2)
    if len(found) > 1:
        raise RegistryError(f"several run ids begin with {start}", "give more of it")
    return str(found[0].info.run_id) if found else start
