"""Load the test rows of a run, and check whether another run may have trained on them."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.support.files import sha256
from pipeline.support.paths import TEST_TABLE

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run


def table_hashes(run: "Run") -> dict[str, str]:
    """Return the SHA-256 of a run's training and test tables, with the keys ``train`` and ``test``."""
    tables = [{tag.key: tag.value for tag in entry.tags} for entry in (run.inputs.dataset_inputs if run.inputs else [])]
    return {tags.get("mlflow.data.context", ""): tags["sha256"] for tags in tables if "sha256" in tags}


def may_have_trained_on(client: "MlflowClient", run_id: str, tested_run_id: str) -> bool:
    """Return whether a run may have been trained on some of the rows that another run was tested on.

    It was not if both runs have the same training table, or if their tables were split alike and differ only in the
    recorded predictions appended to them: then no row moves between the training and test set
    (`pipeline.tables.appended_predictions`).

    Parameters
    ----------
    client : MlflowClient
    run_id : str
        The run whose training rows matter.
    tested_run_id : str
        The run whose test rows matter.
    """
    run, tested = client.get_run(run_id), client.get_run(tested_run_id)
    if table_hashes(run).get("train") == table_hashes(tested).get("train"):
        return False
    if run.data.tags.get("data_sha256") == tested.data.tags.get("data_sha256"):
        return True  # the same rows, split differently
    settings = _split_settings(run)
    return settings != _split_settings(tested) or settings.get("dataset.split.strategy") == "time"


def _split_settings(run: "Run") -> dict[str, str | None]:
    """Return what determines the split of a table's own rows: their file's SHA-256 and the parameters of prepare."""
    settings = {name: value for name, value in run.data.params.items() if name.startswith("dataset.")}
    tags = run.data.tags
    return settings | {"dataset.path": tags.get("own_data_sha256", tags.get("data_sha256"))}


def load_test_rows(client: "MlflowClient", run_id: str, folder: Path, consequence: str, remedy: str) -> "pd.DataFrame":
    """Return the test table of a run.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    folder : Path
        The pipeline folder.
    consequence, remedy : str
        What is impossible without the table, and what to do after preparing it, for the error message.

    Raises
    ------
    PipelineError
        If the pipeline folder does not have the table that the run was tested on.
    """
    import pandas as pd

    path = folder / TEST_TABLE
    if not path.exists() or sha256(path) != table_hashes(client.get_run(run_id)).get("test"):
        raise PipelineError(
            f"{path} is not the table that run {run_id} was tested on, so {consequence}",
            f"prepare that table again (dvc repro prepare, with the run's params.yaml), {remedy}",
        )
    return pd.read_parquet(path)
