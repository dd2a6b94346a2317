"""Read the labels of recorded predictions, which become known later."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import PipelineError
from pipeline.features.columns import as_text, infer_kind
from pipeline.features.formulas import FLOAT32_MAX
from pipeline.params.schema import DatasetParams
from pipeline.support.section import short_repr
from pipeline.tables.read import read_table

LABELS = Path("data/labels.csv")  # default of --labels, in the pipeline folder
ID_COLUMN = "prediction_id"


def read_labels(path: Path, params: DatasetParams) -> pd.DataFrame:
    """Read a CSV or Parquet file with the ID and the label of a prediction in each row.

    Parameters
    ----------
    path : Path
    params : DatasetParams
        The label column is the target. A split by group or time needs its column too.

    Returns
    -------
    DataFrame, shape (n_labels, n_columns)
        Indexed by the unique IDs, with the target and all other columns of the file.

    Raises
    ------
    PipelineError
        If the file, a column or a value is missing, a value has the wrong type, or a prediction has several labels.
        The message has the number of the row, where 1 is the first one below the header.
    """
    required = [params.target, *_split_column(params)]
    if not path.is_file():
        raise PipelineError(
            f"the label file {path} does not exist",
            f"create it with the columns {', '.join([ID_COLUMN, *required])}, or use another file: --labels FILE",
        )
    table = read_table(path, [ID_COLUMN, *(params.categorical or [])])
    for column in [ID_COLUMN, *required]:
        if column not in table.columns:
            purpose = f", which dataset.split of params.yaml needs ({params.split.strategy})"
            raise PipelineError(
                f"{path} has no column {column!r}{purpose if column in _split_column(params) else ''}",
                f"add it; the required columns are {', '.join([ID_COLUMN, *required])}",
            )
        if table[column].isna().any():
            row = int(np.flatnonzero(table[column].isna())[0])
            owner = "" if column == ID_COLUMN else f" of prediction {table[ID_COLUMN].iloc[row]}"
            raise PipelineError(
                f"{path}: {column!r}{owner} is missing in row {row + 1}", "fill it in, or remove the row"
            )
    if params.task == "regression":
        _check_numbers(table, params.target, path)
    table[ID_COLUMN] = as_text(table[ID_COLUMN]).str.strip()
    _check_unique(table, params.target, path)
    return table.drop_duplicates(ID_COLUMN).set_index(ID_COLUMN)


def _split_column(params: DatasetParams) -> list[str]:
    """Return the group or time column of the split, which is not an input and so is not recorded."""
    return [params.split.column] if params.split.column and params.split.strategy in ("group", "time") else []


def _check_numbers(table: pd.DataFrame, target: str, path: Path) -> None:
    labels = table[target]
    if infer_kind(labels) == "number":
        wrong = ~(np.abs(labels.to_numpy(np.float64)) <= FLOAT32_MAX)
    else:
        wrong = pd.to_numeric(as_text(labels), errors="coerce").isna().to_numpy()
    if wrong.any() or infer_kind(labels) != "number":
        row = int(wrong.argmax())
        label = short_repr(labels.tolist()[row])
        raise PipelineError(
            f"{path}: {target!r} of prediction {table[ID_COLUMN].iloc[row]} is {label} in row {row + 1}, "
            "which is not a 32-bit number",
            "correct it, or remove the row",
        )


def _check_unique(table: pd.DataFrame, target: str, path: Path) -> None:
    different = table[[ID_COLUMN, target]].drop_duplicates()
    conflicts = different[different[ID_COLUMN].duplicated(keep=False)]
    if len(conflicts):
        rows = conflicts[conflicts[ID_COLUMN] == conflicts[ID_COLUMN].iloc[0]]
        first, second = (
            f"{short_repr(label)} in row {int(str(row)) + 1}" for row, label in rows[target].head(2).items()
        )
        raise PipelineError(
            f"{path}: prediction {rows[ID_COLUMN].iloc[0]} has the labels {first} and {second}",
            "remove the wrong one",
        )
