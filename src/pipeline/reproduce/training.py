"""Running a commit's own stages, with a store of their own."""

import os
import sys
from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.reproduce.original import OriginalTraining, Result, result_of
from pipeline.support.processes import run_shown

STAGES = ("prepare", "model_train")
OUTER = ("MLFLOW_", "DVC_", "GIT_")  # what says which store, stage and repository this is run in


def train_again(folder: Path, scripts: Path, store: Path) -> str:
    """Run prepare and model_train in a pipeline folder, and pass on what they print.

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
        When a stage fails; the message has its last lines.
    """
    uri = f"sqlite:///{store / 'mlflow.db'}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OUTER)}
    environment["MLFLOW_TRACKING_URI"] = uri
    for stage in STAGES:
        code, last = run_shown([sys.executable, str(scripts / f"{stage}.py")], folder, environment)
        if code:
            raise PipelineError(
                f"{stage} of that commit fails in the clone (exit code {code}):\n{last}",
                "install what it was trained with (environment.json of the run has the versions), or mend what it says",
            )
    return uri


def result_in(uri: str, original: OriginalTraining) -> Result:
    """Return what a training wrote to its store for the run of the same name.

    Raises
    ------
    PipelineError
        When there is no such run.
    """
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(original.experiment_name)
    query = f"attributes.run_name = '{original.run_name}'"
    runs = client.search_runs([experiment.experiment_id], query) if experiment else []
    if not runs:
        raise PipelineError(
            f"the training has no run {original.run_name}", "only what dvc repro trains can be trained again"
        )
    return result_of(client.get_run(runs[0].info.run_id))
