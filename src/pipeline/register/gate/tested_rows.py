"""The test rows of a run, as they lie in the pipeline folder; and which tables a run was made from."""

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
    """Return the SHA-256 of the tables a run was trained and tested on, by their context: ``train`` and ``test``."""
    found = [{tag.key: tag.value for tag in entry.tags} for entry in (run.inputs.dataset_inputs if run.inputs else [])]
    return {tags.get("mlflow.data.context", ""): tags["sha256"] for tags in found if "sha256" in tags}


def may_know(client: "MlflowClient", run_id: str, tested_run_id: str) -> bool:
    """Return whether rows that a run was tested on may be among those that another run was trained on.

    They are not where both were trained on the same table; or on tables split alike whose own rows are the same,
    with recorded predictions below them: then no row changes sides (`pipeline.tables.appended_predictions`).

    Parameters
    ----------
    client : MlflowClient
    run_id : str
        Of the run that was trained.
    tested_run_id : str
        Of the one that was tested.
    """
    run, tested = client.get_run(run_id), client.get_run(tested_run_id)
    if table_hashes(run).get("train") == table_hashes(tested).get("train"):
        return False
    if run.data.tags.get("data_sha256") == tested.data.tags.get("data_sha256"):
        return True  # the same rows, divided otherwise
    divided = _own_rows(run)
    return divided != _own_rows(tested) or divided.get("dataset.split.strategy") == "time"


def _own_rows(run: "Run") -> dict[str, str | None]:
    """Return what decides where a table's own rows go: their file's SHA-256, and the settings of stage prepare."""
    settings = {name: value for name, value in run.data.params.items() if name.startswith("dataset.")}
    tags = run.data.tags
    return settings | {"dataset.path": tags.get("own_data_sha256", tags.get("data_sha256"))}


def tested_rows(client: "MlflowClient", run_id: str, folder: Path, missed: str, otherwise: str) -> "pd.DataFrame":
    """Return the test table of a run.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    folder : Path
        The pipeline folder.
    missed, otherwise : str
        What cannot be done without the table, and what to do once it is there, for the error.

    Raises
    ------
    PipelineError
        When what lies in the pipeline folder is not the table that the run was tested on.
    """
    import pandas as pd

    path = folder / TEST_TABLE
    if not path.exists() or sha256(path) != table_hashes(client.get_run(run_id)).get("test"):
        raise PipelineError(
            f"{path} is not the table that run {run_id} was tested on, so {missed}",
            f"prepare that table again (dvc repro prepare, with the run's params.yaml), {otherwise}",
        )
    return pd.read_parquet(path)
