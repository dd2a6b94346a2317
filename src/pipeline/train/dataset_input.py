"""Describe a prepared table to MLflow: its name, hash, columns and size, but not its rows."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.params.schema import DatasetParams

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

MLFLOW_DIGEST_LENGTH = 36


def dataset_input(
    sample: pd.DataFrame, n_rows: int, context: str, sha256: str, params: DatasetParams
) -> "DatasetInput":
    """Return the description of a table as a dataset input of a run.

    It is computed once and logged into each run. MLflow would read every value to infer the types and optional columns,
    which takes ten seconds for two million rows; a sample gives the same schema.

    Parameters
    ----------
    sample : DataFrame, shape (n_sample, n_columns)
        From `schema_sample`.
    n_rows : int
        Number of rows of the whole table.
    context : str
        The use of the table: "train" or "test".
    sha256 : str
        SHA-256 sum of the prepared file.
    params : DatasetParams
    """
    from mlflow.data import pandas_dataset, sources
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    with warnings.catch_warnings():
        # Only group and time columns can be integers; features are 32-bit floats.
        warnings.filterwarnings("ignore", message="(?s).*integer column")
        description = pandas_dataset.from_pandas(
            sample,
            # MLflow would guess the source of a plain path, with a warning. It creates this class at run time.
            source=sources.LocalArtifactDatasetSource(params.path),  # type: ignore[attr-defined]
            targets=params.target,
            name=f"{Path(params.path).name} ({context})",
            digest=sha256[:MLFLOW_DIGEST_LENGTH],
        ).to_dict()
    description["profile"] = json.dumps({"num_rows": n_rows, "num_elements": n_rows * sample.shape[1]})
    return DatasetInput(Dataset(**description), [InputTag(MLFLOW_DATASET_CONTEXT, context), InputTag("sha256", sha256)])


def schema_sample(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the schema of the table: for each column, the first row with a value and the first without."""
    rows = {0}
    for name in table.columns:
        missing = table[name].isna().to_numpy()
        rows |= {int(missing.argmin()), int(missing.argmax())}
    return table.iloc[sorted(rows)]
