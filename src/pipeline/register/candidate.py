"""The run that is to be registered, looked up and checked before anything is written."""

import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RegistryError
from pipeline.features.transformer import FEATURES_FILE
from pipeline.store.logged_model import LOGGED_SHA256, logged_sha256
from pipeline.store.lookup import find_run, pages
from pipeline.store.open import check_run_not_moved, logged_model_of, with_store
from pipeline.support.files import read_json, sha256
from pipeline.support.paths import BEST_MODEL_INFO

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Metrics that do not say how good a model is: of single folds, of the training rows, of its ONNX graph.
NOT_OF_MODEL = ("fold_", "train_", "training_", "onnx_")
TRAIN = "dvc repro -f -s model_train && dvc repro"
LOOK = "python src/model_register.py --list shows those of versions, MLflow's page all"


@dataclass(frozen=True)
class Candidate:
    """A finished run with a whole logged model.

    Attributes
    ----------
    metrics : dict of str to float
        Its test and cross-validation metrics.
    tags : dict of str to str
        Its data, code and model hashes, as far as the run knows them.
    """

    run_id: str
    model_id: str
    metrics: dict[str, float]
    tags: dict[str, str]


def find_candidate(client: "MlflowClient", folder: Path, run_id: str | None) -> Candidate:
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
    _check_model(model_id, run.data.tags, remedy)
    return Candidate(
        run_id=run_id,
        model_id=model_id,
        metrics={name: value for name, value in sorted(run.data.metrics.items()) if not name.startswith(NOT_OF_MODEL)},
        tags={
            name: run.data.tags[name]
            for name in ("data_sha256", "git_commit", "git_dirty", "model_sha256", "family", LOGGED_SHA256)
            if name in run.data.tags
        },
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


def _check_model(model_id: str, tags: dict[str, str], remedy: str) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            logged = Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}", dst_path=folder))
            stored = json.loads((logged / FEATURES_FILE).read_text(encoding="utf-8"))
            found = {"model_sha256": sha256(logged / stored["model_file"]), LOGGED_SHA256: logged_sha256(logged)}
        except (MlflowException, OSError, KeyError, ValueError) as error:
            detail = str(error).strip().split("\n")[0]
            raise RegistryError(
                f"the files of logged model {model_id} are not in the store: {detail}", remedy
            ) from None
    for tag, what in (("model_sha256", "the model file is"), (LOGGED_SHA256, "the files are")):
        if tags.get(tag, found[tag]) != found[tag]:  # runs of earlier versions lack the second
            raise RegistryError(f"{what} not what the run of {model_id} wrote (SHA-256 differs)", remedy)
