"""Tables whose last rows are recorded predictions: what their files say of them, and how they are split."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.params import DatasetParams, SplitParams
from pipeline.raw_columns import as_text
from pipeline.split import Rows, groups_of, split_rows

KEY = b"recorded_rows"  # of a Parquet file's metadata


@dataclass(frozen=True)
class RecordedRows:
    """What a file says of its last rows.

    Attributes
    ----------
    ids : sequence of str
        Of the predictions, a row each; empty of a table without any.
    own_sha256 : str, optional
        Of the file that the rows before them were read from; None of a table without any.
    """

    ids: Sequence[str] = ()
    own_sha256: str | None = None

    def metadata(self) -> dict[bytes, bytes]:
        """Return it as a Parquet file's metadata."""
        return {KEY: json.dumps({"ids": list(self.ids), "own_sha256": self.own_sha256}).encode()}


def recorded_rows(path: Path) -> RecordedRows:
    """Return what a file says of recorded predictions in its last rows; nothing of one that was not written so."""
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_schema

    try:
        metadata = read_schema(path).metadata or {}
    except (FileNotFoundError, ArrowInvalid):  # such as of a CSV
        return RecordedRows()
    return RecordedRows(**json.loads(metadata[KEY])) if KEY in metadata else RecordedRows()


def split_apart(table: pd.DataFrame, params: DatasetParams, n_own: int, ids: Sequence[str]) -> tuple[Rows, Rows]:
    """Divide a table by ``dataset.split`` so that no row changes sides when predictions are added.

    Its own rows are divided as if there were no others; each prediction by its id, or by its group. So the training
    rows of a model never become test rows of a later one, which it would answer better than rows it has not seen. Of a
    split by time, the last rows are the test rows, whatever they are.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        Its index is each row's place in the file.
    params : DatasetParams
    n_own : int
        Rows of the file before the predictions.
    ids : sequence of str
        Of the predictions.

    Returns
    -------
    train, test : arrays of int
        Positions in `table`, as from `split_rows`.

    Raises
    ------
    TableError
        As of `split_rows`.
    """
    own = np.asarray(table.index) < n_own
    if own.all() or params.split.strategy == "time":
        return split_rows(table, params)
    train, test = (np.flatnonzero(own)[side] for side in split_rows(table[own], params))
    added = np.flatnonzero(~own)
    if params.split.strategy == "group":
        groups = groups_of(table, params)
        values = as_text(table[params.split.column]).to_numpy()
        known, tested = set(groups[own]), set(groups[test])
        drawn = [
            group in tested if group in known else _is_drawn(value, params.split)
            for group, value in zip(groups[added], values[added], strict=True)
        ]
    else:
        drawn = [_is_drawn(ids[place - n_own], params.split) for place in table.index[added]]
    is_test = np.array(drawn, dtype=np.bool_)
    return np.concatenate([train, added[~is_test]]), np.concatenate([test, added[is_test]])


def _is_drawn(name: str, split: SplitParams) -> bool:
    """Return whether what has this name is of the test rows: a share of ``test_size`` is, whatever else there is."""
    digest = hashlib.sha256(f"{split.seed} {name}".encode()).digest()
    return int.from_bytes(digest[:8]) < split.test_size * 2**64
