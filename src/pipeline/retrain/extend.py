"""Append recorded predictions with labels to the training table."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.features.columns import FLOAT_SUFFIX, as_text, infer_kind
from pipeline.params.schema import DatasetParams
from pipeline.retrain.append_column import append_column
from pipeline.retrain.extended_table import ExtendedTable, extended_path, read_extended_table, write_extended_table
from pipeline.retrain.labels import ID_COLUMN
from pipeline.service.recording.table import INPUT
from pipeline.support.section import short_repr
from pipeline.tables.appended_predictions import AppendedPredictions
from pipeline.tables.download import is_url
from pipeline.tables.files import table_sha256

MIN_ROWS = 30  # labeled predictions; as many as the gate needs to judge a slice


@dataclass(frozen=True)
class Extension:
    """A summary of an extended table.

    Attributes
    ----------
    path : str
        Path of the extended table, for ``dataset.path``.
    n_own, n_predictions, n_new, n_left_out : int
        Numbers of the table's own rows; of labeled predictions below them; of those that are new in this extension; and
        of those left out because a boolean is missing, which would turn its column into text.
    unused : list of str
        Columns of the labels and recorded inputs that were not added.
    """

    path: str
    n_own: int
    n_predictions: int
    n_new: int
    n_left_out: int
    unused: list[str]


def extend(params: DatasetParams, folder: Path, predictions: pd.DataFrame, labels: pd.DataFrame) -> Extension:
    """Write the table of ``dataset.path`` with labeled predictions below its rows to another file.

    A prediction in an earlier extension is not added twice: its row is recreated or, if the prediction is no longer
    recorded, kept with its current label.

    Parameters
    ----------
    params : DatasetParams
    folder : Path
        The pipeline folder.
    predictions : DataFrame, shape (n_predictions, n_columns)
        The recorded predictions, with ``prediction_id`` and ``input.<column>``, in the order of the rows to add.
    labels : DataFrame, shape (n_labels, n_columns)
        From `read_labels`.

    Raises
    ------
    PipelineError
        If a label has no known prediction or is not among the table's labels, there are too few, or values do not fit
        the table's columns; nothing is written then.
    """
    if is_url(params.path):
        raise PipelineError(
            f"predictions cannot be appended to {params.path}",
            f"copy the table (dvc get-url {params.path} data/raw/NAME), and set dataset.path to the copy",
        )
    path = extended_path(folder, params.path)
    categorical = params.categorical or []
    source = read_extended_table(folder / params.path, categorical)
    table = source.own
    own_sha256 = source.appended.own_sha256 or table_sha256(folder / params.path)
    own_types = {str(name): str(column.dtype) for name, column in table.items()}
    earlier = (
        read_extended_table(folder / path, categorical).predictions if (folder / path).exists() else table.iloc[:0]
    )
    _check_known(labels, {*predictions[ID_COLUMN], *earlier.index})
    _check_labels(labels[params.target], table, params)
    joined = predictions[predictions[ID_COLUMN].isin(labels.index)].set_index(ID_COLUMN)
    names = [name for name in joined.columns if name.startswith(INPUT) and name != INPUT + params.target]
    inputs = joined[names].rename(columns=lambda name: name.removeprefix(INPUT))
    booleans = [name for name in inputs.columns.intersection(table.columns) if infer_kind(table[name]) == "boolean"]
    is_complete = inputs[booleans].notna().all(axis=1)
    joined, inputs = joined[is_complete], inputs[is_complete].astype(dict.fromkeys(booleans, bool))
    kept = _with_current_labels(earlier.drop(index=joined.index, errors="ignore"), labels[params.target])
    ids = [*kept.index, *joined.index]
    if len(ids) < MIN_ROWS:
        raise PipelineError(
            f"{len(ids)} recorded predictions have a label, fewer than {MIN_ROWS}, which retraining needs",
            "label more predictions",
        )
    if inputs.columns.intersection(table.columns).empty:
        raise PipelineError(
            f"{params.path} has none of the recorded inputs: {', '.join(inputs.columns[:20])}",
            "set dataset.path in params.yaml to the table that the model was trained on",
        )
    label_rows = labels.loc[joined.index]
    unused = [
        *label_rows.columns.intersection(inputs.columns),
        *label_rows.columns.union(inputs.columns).difference(table.columns),
    ]
    fresh = pd.concat([label_rows.drop(columns=unused, errors="ignore"), inputs], axis=1).reindex(columns=table.columns)
    kept = kept.reindex(columns=table.columns)
    columns = {}
    for name, column in table.items():
        is_categorical = name in categorical or (name == params.target and params.task == "classification")
        rows = _normalize_texts(fresh[name], column) if name in inputs.columns else fresh[name]
        columns[name] = append_column(append_column(column, kept[name], is_categorical), rows, is_categorical)
    write_extended_table(
        folder / path,
        ExtendedTable(pd.DataFrame(columns, copy=False), AppendedPredictions(ids, own_sha256, own_types)),
    )
    return Extension(
        path, len(table), len(ids), len(set(ids).difference(earlier.index)), int((~is_complete).sum()), unused
    )


def _normalize_texts(values: pd.Series, column: pd.Series) -> pd.Series:
    """Return recorded texts as the model reads them.

    501.0 is the category 501. An empty text is missing, as is a text that is not a time in a column of times.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.to_datetime(values, errors="coerce", format="ISO8601", utc=True)
    if infer_kind(values) != "text":
        return values
    known = set(as_text(column).dropna())
    without = values.str.removesuffix(FLOAT_SUFFIX)
    values = values.where(values.isin(known) | ~without.isin(known), without)
    return values.where(values.isin(known) | (values != ""))


def _with_current_labels(kept: pd.DataFrame, labels: pd.Series) -> pd.DataFrame:
    """Return rows of an earlier extension with their current labels, if they have any."""
    current = labels[labels.index.isin(kept.index)]
    previous = kept[labels.name].drop(index=current.index)
    return (
        kept.assign(**{str(labels.name): pd.concat([previous, current]).reindex(kept.index)}) if len(current) else kept
    )


def _check_known(labels: pd.DataFrame, known: set[str]) -> None:
    unknown = [name for name in labels.index if name not in known]
    if unknown:
        raise PipelineError(
            f"{len(unknown):,} of {len(labels):,} labels have no recorded prediction, such as {unknown[0]}",
            "correct or remove their rows, or restore the missing files below SERVICE_PREDICTIONS",
        )


def _check_labels(labels: pd.Series, table: pd.DataFrame, params: DatasetParams) -> None:
    """Raise if labels are not in the table: versions without those classes could not be compared."""
    if params.task == "regression":
        return
    known = set(as_text(table[params.target]).dropna())
    unknown = labels[~as_text(labels).isin(known)]
    if len(unknown):
        label = short_repr(unknown.tolist()[0])
        raise PipelineError(
            f"prediction {unknown.index[0]} has the label {label}, which {params.path} does not have",
            f"correct it; the labels in the table are {', '.join(sorted(known)[:20])}",
        )
