"""What MLflow is told of a prepared table: name, hash, columns and size, never the rows."""

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
    telling: pd.DataFrame, n_rows: int, context: str, sha256: str, params: DatasetParams
) -> "DatasetInput":
    """Describe a table as the input of a run.

    Worked out once and logged into every run. MLflow looks at every value to tell types and what may be missing, ten
    seconds for two million rows; it is shown the rows that tell the same.

    Parameters
    ----------
    telling : DataFrame, shape (n_telling, n_columns)
        From `telling_rows`.
    n_rows : int
        Of the whole table.
    context : str
        What it is used for: "train" or "test".
    sha256 : str
        Of the prepared file.
    params : DatasetParams
    """
    from mlflow.data import pandas_dataset, sources
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    with warnings.catch_warnings():
        # Of columns rows are grouped or ordered by; features are 32-bit floats.
        warnings.filterwarnings("ignore", message="(?s).*integer column")
        described = pandas_dataset.from_pandas(
            telling,
            # A plain path would be guessed at, with a warning. MLflow makes this class at run time.
            source=sources.LocalArtifactDatasetSource(params.path),  # type: ignore[attr-defined]
            targets=params.target,
            name=f"{Path(params.path).name} ({context})",
            digest=sha256[:MLFLOW_DIGEST_LENGTH],
        ).to_dict()
    described["profile"] = json.dumps({"num_rows": n_rows, "num_elements": n_rows * telling.shape[1]})
    return DatasetInput(Dataset(**described), [InputTag(MLFLOW_DATASET_CONTEXT, context), InputTag("sha256", sha256)])


def telling_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the first row, and for every column the first with a value and the first without one."""
    rows = {0}
    for name in table.columns:
        missing = table[name].isna().to_numpy()
        rows |= {int(missing.argmin()), int(missing.argmax())}
    return table.iloc[sorted(rows)]
