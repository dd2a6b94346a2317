"""Recorded predictions and their labels become rows of the training table."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.features.columns import SUFFIX, as_text, kind_of
from pipeline.params.schema import DatasetParams
from pipeline.retrain.append_column import append_column
from pipeline.retrain.extended_table import ExtendedTable, place_of, read_extended_table, write_extended_table
from pipeline.retrain.labels import ID
from pipeline.service.recording.table import INPUT
from pipeline.support.files import sha256
from pipeline.support.section import shown
from pipeline.tables.appended_predictions import AppendedPredictions

FEWEST_ROWS = 30  # of labelled predictions, as of a slice that the gate judges


@dataclass(frozen=True)
class Extension:
    """What was written.

    Attributes
    ----------
    path : str
        Of the extended table, as ``dataset.path`` takes it.
    n_own, n_predictions, n_new, n_left_out : int
        Rows of the table itself; labelled predictions below them; how many of these no earlier extension had; and how
        many are left out, as a truth value is missing: with gaps their column would become one of texts.
    unused : list of str
        Columns of labels and recorded inputs that the table does not take from there.
    """

    path: str
    n_own: int
    n_predictions: int
    n_new: int
    n_left_out: int
    unused: list[str]


def extend(params: DatasetParams, folder: Path, predictions: pd.DataFrame, labels: pd.DataFrame) -> Extension:
    """Write the table of ``dataset.path`` with labelled predictions below its rows; that file stays as it is.

    A prediction that an earlier extension holds is not added again: its row is made anew, or kept, with what is its
    label now, where the prediction is no longer recorded.

    Parameters
    ----------
    params : DatasetParams
    folder : Path
        The pipeline folder.
    predictions : DataFrame, shape (n_predictions, n_columns)
        The recorded ones, with ``prediction_id`` and ``input.<column>``, in the order in which rows are to be added.
    labels : DataFrame, shape (n_labels, n_columns)
        From `read_labels`.

    Raises
    ------
    PipelineError
        When a label is of no known prediction or none of the table's labels, there are too few, or values do not
        fit the table's columns; nothing is written then.
    """
    place = place_of(folder, params.path)
    texts = params.categorical or []
    source = read_extended_table(folder / params.path, texts)
    table = source.own
    own_sha256 = source.appended.own_sha256 or sha256(folder / params.path)
    own_types = {str(name): str(column.dtype) for name, column in table.items()}
    earlier = read_extended_table(folder / place, texts).predictions if (folder / place).exists() else table.iloc[:0]
    _check_known(labels, {*predictions[ID], *earlier.index})
    _check_labels(labels[params.target], table, params)
    joined = predictions[predictions[ID].isin(labels.index)].set_index(ID)
    names = [name for name in joined.columns if name.startswith(INPUT) and name != INPUT + params.target]
    inputs = joined[names].rename(columns=lambda name: name.removeprefix(INPUT))
    truths = [name for name in inputs.columns.intersection(table.columns) if kind_of(table[name]) == "boolean"]
    is_whole = inputs[truths].notna().all(axis=1)
    joined, inputs = joined[is_whole], inputs[is_whole].astype(dict.fromkeys(truths, bool))
    kept = _corrected(earlier.drop(index=joined.index, errors="ignore"), labels[params.target])
    ids = [*kept.index, *joined.index]
    if len(ids) < FEWEST_ROWS:
        raise PipelineError(
            f"{len(ids)} recorded predictions have a label, fewer than {FEWEST_ROWS}: too few to retrain for",
            "label more of them",
        )
    if inputs.columns.intersection(table.columns).empty:
        raise PipelineError(
            f"{params.path} has none of the recorded inputs: {', '.join(inputs.columns[:20])}",
            "set dataset.path in params.yaml to the table that the model was trained on",
        )
    found = labels.loc[joined.index]
    unused = [
        *found.columns.intersection(inputs.columns),
        *found.columns.union(inputs.columns).difference(table.columns),
    ]
    fresh = pd.concat([found.drop(columns=unused, errors="ignore"), inputs], axis=1).reindex(columns=table.columns)
    kept = kept.reindex(columns=table.columns)
    columns = {}
    for name, column in table.items():
        as_texts = name in texts or (name == params.target and params.task == "classification")
        rows = _as_known(fresh[name], column) if name in inputs.columns else fresh[name]
        columns[name] = append_column(append_column(column, kept[name], as_texts), rows, as_texts)
    write_extended_table(
        folder / place,
        ExtendedTable(pd.DataFrame(columns, copy=False), AppendedPredictions(ids, own_sha256, own_types)),
    )
    return Extension(
        place, len(table), len(ids), len(set(ids).difference(earlier.index)), int((~is_whole).sum()), unused
    )


def _as_known(values: pd.Series, column: pd.Series) -> pd.Series:
    """Return recorded texts as the model read them: 501.0 as the category 501, the empty text as missing."""
    if kind_of(values) != "text":
        return values
    known = set(as_text(column).dropna())
    without = values.str.removesuffix(SUFFIX)
    values = values.where(values.isin(known) | ~without.isin(known), without)
    return values.where(values.isin(known) | (values != ""))


def _corrected(kept: pd.DataFrame, labels: pd.Series) -> pd.DataFrame:
    """Return rows of an earlier extension with the labels of now, where there are any."""
    now = labels[labels.index.isin(kept.index)]
    before = kept[labels.name].drop(index=now.index)
    return kept.assign(**{str(labels.name): pd.concat([before, now]).reindex(kept.index)}) if len(now) else kept


def _check_known(labels: pd.DataFrame, known: set[str]) -> None:
    unknown = [name for name in labels.index if name not in known]
    if unknown:
        raise PipelineError(
            f"{len(unknown):,} of {len(labels):,} labels are of no recorded prediction, such as {unknown[0]}",
            "correct or remove their rows, or bring back what is missing below SERVICE_PREDICTIONS",
        )


def _check_labels(labels: pd.Series, table: pd.DataFrame, params: DatasetParams) -> None:
    """Refuse labels that the table does not have: a version that does not know them cannot be compared with."""
    if params.task == "regression":
        return
    known = set(as_text(table[params.target]).dropna())
    unknown = labels[~as_text(labels).isin(known)]
    if len(unknown):
        label = shown(unknown.tolist()[0])
        raise PipelineError(
            f"prediction {unknown.index[0]} has the label {label}, which {params.path} does not have",
            f"correct it: the labels are {', '.join(sorted(known)[:20])}",
        )
