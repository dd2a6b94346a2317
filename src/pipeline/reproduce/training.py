"""Run the stages of a commit with a separate store."""

import os
import sys
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.reproduce.original import OriginalTraining, Result, result_of
from pipeline.support.processes import run_program

STAGES = ("prepare", "model_train")
# Prefixes of environment variables that refer to the current store, stage and repository.
EXCLUDED_VARIABLES = ("MLFLOW_", "DVC_", "GIT_")


def train_again(folder: Path, scripts: Path, store: Path) -> str:
    """Run prepare and model_train in a pipeline folder, and report their output as progress.

    Parameters
    ----------
    folder : Path
        The pipeline folder.
    scripts : Path
        The folder of prepare.py and model_train.py.
    store : Path
        An empty folder for the MLflow store.

    Returns
    -------
    str
        The tracking URI of the store.

    Raises
    ------
    PipelineError
        If a stage fails; the message has the last lines of its output.
    """
    uri = f"sqlite:///{store / 'mlflow.db'}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(EXCLUDED_VARIABLES)}
    environment["MLFLOW_TRACKING_URI"] = uri
    for stage in STAGES:
        code, last = run_program([sys.executable, str(scripts / f"{stage}.py")], folder, environment)
        if code:
            raise PipelineError(
                f"{stage} of that commit failed in the clone (exit code {code}):\n{last}",
                "install the package versions in environment.json of the run, or fix the reported error",
            )
    return uri


def result_in(uri: str, original: OriginalTraining) -> Result:
    """Return the result of the run with the original's name in the store of a training.

    Raises
    ------
    PipelineError
        If there is no such run.
    """
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(original.experiment_name)
    query = f"attributes.run_name = '{original.run_name}'"
    runs = client.search_runs([experiment.experiment_id], query) if experiment else []
    if not runs:
        raise PipelineError(f"the training has no run {original.run_name}", "only runs of dvc repro can be reproduced")
    return result_of(client.get_run(runs[0].info.run_id))
