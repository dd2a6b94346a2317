"""The labels of recorded predictions, as someone found them out later."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import PipelineError
from pipeline.features.columns import as_text, kind_of
from pipeline.features.formulas import LARGEST
from pipeline.params.schema import DatasetParams
from pipeline.support.section import shown
from pipeline.tables.read import read_table

LABELS = Path("data/labels.csv")  # below the pipeline folder, unless --labels names another
ID = "prediction_id"


def read_labels(path: Path, params: DatasetParams) -> pd.DataFrame:
    """Read a CSV or Parquet file with a prediction's id and label a row.

    Parameters
    ----------
    path : Path
    params : DatasetParams
        Its target names the column of the labels. A split by group or time needs its column here too.

    Returns
    -------
    DataFrame, shape (n_labels, n_columns)
        Each id once, as the index; the target, and what other columns the file has.

    Raises
    ------
    PipelineError
        When the file or a column is missing, a value in them is missing or of the wrong type, or a prediction has
        two labels; the message names the row, counted from 1 below the header.
    """
    needed = [params.target, *_split_column(params)]
    if not path.is_file():
        raise PipelineError(
            f"{path}, the file of the labels, does not exist",
            f"write a CSV or Parquet file with the columns {', '.join([ID, *needed])} there, or name it: --labels FILE",
        )
    table = read_table(path, [ID, *(params.categorical or [])])
    for column in [ID, *needed]:
        if column not in table.columns:
            why = f", by which dataset.split of params.yaml splits ({params.split.strategy})"
            raise PipelineError(
                f"{path} has no column {column!r}{why if column in _split_column(params) else ''}",
                f"it needs the columns {', '.join([ID, *needed])}",
            )
        if table[column].isna().any():
            row = int(np.flatnonzero(table[column].isna())[0])
            of = "" if column == ID else f" of prediction {table[ID].iloc[row]}"
            raise PipelineError(f"{path}: {column!r}{of} is missing in row {row + 1}", "fill it in, or remove the row")
    if params.task == "regression":
        _check_numbers(table, params.target, path)
    table[ID] = as_text(table[ID]).str.strip()
    _check_one_each(table, params.target, path)
    return table.drop_duplicates(ID).set_index(ID)


def _split_column(params: DatasetParams) -> list[str]:
    """Return the column of the split where it is no input, so that no recorded prediction has it."""
    return [params.split.column] if params.split.column and params.split.strategy in ("group", "time") else []


def _check_numbers(table: pd.DataFrame, target: str, path: Path) -> None:
    labels = table[target]
    if kind_of(labels) == "number":
        wrong = ~(np.abs(labels.to_numpy(np.float64)) <= LARGEST)
    else:
        wrong = pd.to_numeric(as_text(labels), errors="coerce").isna().to_numpy()
    if wrong.any() or kind_of(labels) != "number":
        row = int(wrong.argmax())
        label = shown(labels.tolist()[row])
        raise PipelineError(
            f"{path}: {target!r} of prediction {table[ID].iloc[row]} is {label} in row {row + 1}, no number of 32 bits",
            "correct it, or remove the row",
        )


def _check_one_each(table: pd.DataFrame, target: str, path: Path) -> None:
    different = table[[ID, target]].drop_duplicates()
    twice = different[different[ID].duplicated(keep=False)]
    if len(twice):
        one = twice[twice[ID] == twice[ID].iloc[0]]
        first, second = (f"{shown(label)} in row {int(str(row)) + 1}" for row, label in one[target].head(2).items())
        raise PipelineError(
            f"{path}: prediction {one[ID].iloc[0]} has the labels {first} and {second}",
            "remove the wrong one",
        )
