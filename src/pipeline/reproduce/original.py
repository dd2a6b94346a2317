"""Look up how a version was trained: its commit, parameters and data, and the result."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError, RegistryError, StoreError
from pipeline.store.lookup import find_run, find_version
from pipeline.store.open import mlflow_command
from pipeline.support.yaml import read_yaml

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Prefixes of the names of experiment runs.
EXPERIMENTS = ("exp1_tuned", "exp2_important_features", "exp3_tuned_selected")
REGISTRATION_PREFIX = "onnx_"  # prefix of metrics that registration adds


@dataclass(frozen=True)
class Result:
    """The result of a training.

    Attributes
    ----------
    metrics : dict of str to float
    hashes : dict of str to str
        SHA-256 of "model file", "train table" and "test table".
    """

    metrics: dict[str, float]
    hashes: dict[str, str]


@dataclass(frozen=True)
class OriginalTraining:
    """The run of a version: everything needed to train again, and the result to compare with.

    Attributes
    ----------
    is_dirty : bool
        Whether tracked files differed from the commit.
    has_time_budget : bool
        Whether a time budget ended the search, so that another model may result.
    device : {"cpu", "cuda"}
        Where the model was trained.
    gpu_name : str
        The name of the GPU; empty for the CPU.
    pipeline_folder : str
        Relative to the root of the git repository.
    params : dict
        The content of params.yaml.
    packages : dict of str to str
        Versions of Python and of the installed packages.
    """

    run_id: str
    run_name: str
    experiment_name: str
    commit: str
    is_dirty: bool
    has_time_budget: bool
    device: str
    gpu_name: str
    pipeline_folder: str
    params: dict[str, Any]
    data_sha256: str
    packages: dict[str, str]
    result: Result


def original_training(client: "MlflowClient", name: str, number: int) -> OriginalTraining:
    """Return how a version was trained.

    Raises
    ------
    PipelineError
        If there is no such version, its run is missing, or the run cannot be reproduced.
    """
    version = find_version(client, name, number)
    if version is None:
        raise RegistryError(f"{name} has no version {number}", "list the versions: python src/model_register.py --list")
    run = find_run(client, str(version.run_id))
    if run is None:
        raise RegistryError(
            f"run {version.run_id} of {name} version {number} is not in the store",
            "without it, the version cannot be reproduced; train a new one: dvc repro -f -s model_train",
        )
    if run.info.lifecycle_stage != "active":
        raise RegistryError(
            f"run {run.info.run_id} of {name} version {number} has been deleted",
            f"restore it: {mlflow_command('mlflow runs restore')} --run-id {run.info.run_id}",
        )
    tags, run_name = run.data.tags, str(run.info.run_name)
    if not run_name.startswith(EXPERIMENTS):
        raise PipelineError(
            f"run {run.info.run_id} of {name} version {number} is {run_name}, a quick look, which no stage trained",
            "only runs of dvc repro can be reproduced: create a pipeline folder for the table with "
            "python src/new_pipeline.py",
        )
    for tag in ("git_commit", "pipeline_folder", "data_sha256"):
        if tag not in tags:
            raise PipelineError(
                f"run {run.info.run_id} of {name} version {number} has no tag {tag}, so it cannot be reproduced",
                "train in a git repository with a commit, and register that run",
            )
    environment = json.loads(_artifact(client, run, "environment.json"))
    return OriginalTraining(
        run_id=run.info.run_id,
        run_name=run_name,
        experiment_name=client.get_experiment(run.info.experiment_id).name,
        commit=tags["git_commit"],
        is_dirty=tags.get("git_dirty") == "true",
        has_time_budget=tags.get("reproducible") == "false",
        device=tags.get("device", "cpu"),
        gpu_name=tags.get("gpu_name", ""),
        pipeline_folder=tags["pipeline_folder"],
        params=read_yaml(_artifact(client, run, "params.yaml")),
        data_sha256=tags["data_sha256"],
        packages=packages(environment),
        result=result_of(run),
    )


def packages(environment: dict[str, Any]) -> dict[str, str]:
    """Return the package versions in the environment.json of a run."""
    return {"python": environment["python"], **environment["packages"]}


def result_of(run: "Run") -> Result:
    """Return the result of a run."""
    metrics = {name: value for name, value in run.data.metrics.items() if not name.startswith(REGISTRATION_PREFIX)}
    hashes = {"model file": run.data.tags.get("model_sha256", "unknown")}
    for entry in run.inputs.dataset_inputs if run.inputs else []:
        tags = {tag.key: tag.value for tag in entry.tags}
        hashes[f"{tags.get('mlflow.data.context')} table"] = tags.get("sha256", "unknown")
    return Result(dict(sorted(metrics.items())), hashes)


def _artifact(client: "MlflowClient", run: "Run", name: str) -> str:
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as folder:
        try:
            return Path(client.download_artifacts(run.info.run_id, name, folder)).read_text(encoding="utf-8")
        except (MlflowException, OSError):
            raise StoreError(
                f"{name} of run {run.info.run_id} is not in the store", "restore the store from a backup"
            ) from None
