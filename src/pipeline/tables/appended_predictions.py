"""Tables with labelled predictions appended to their rows: what their files say of them, and how they are split."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import as_text, kind_of
from pipeline.params.schema import DatasetParams
from pipeline.tables.split import Rows, split_rows

KEY = b"recorded_rows"  # of a Parquet file's metadata


@dataclass(frozen=True)
class AppendedPredictions:
    """What a file says of the predictions in its last rows.

    Attributes
    ----------
    ids : sequence of str
        Of the predictions, a row each; empty of a table without any.
    own_sha256 : str, optional
        Of the file that the rows before them were read from; None of a table without any.
    own_types : dict of str to str
        Of the columns in that file, some of which gaps in the predictions have changed.
    """

    ids: Sequence[str] = ()
    own_sha256: str | None = None
    own_types: dict[str, str] = field(default_factory=dict)

    def metadata(self) -> dict[bytes, bytes]:
        """Return it as a Parquet file's metadata."""
        return {KEY: json.dumps(asdict(self)).encode()}

    def own(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows before the predictions, with the types they had without them."""
        types = {name: type_ for name, type_ in self.own_types.items() if str(table[name].dtype) != type_}
        return table.iloc[: len(table) - len(self.ids)].astype(types)


def appended_predictions(path: Path) -> AppendedPredictions:
    """Return what a file says of recorded predictions in its last rows; nothing of one that was not written so."""
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_schema

    try:
        metadata = read_schema(path).metadata or {}
    except (FileNotFoundError, ArrowInvalid):  # such as of a CSV
        return AppendedPredictions()
    return AppendedPredictions(**json.loads(metadata[KEY])) if KEY in metadata else AppendedPredictions()


def split_apart(table: pd.DataFrame, params: DatasetParams, own: pd.DataFrame) -> tuple[Rows, Rows]:
    """Divide a table by ``dataset.split`` so that no row changes sides when predictions are added.

    Its own rows are divided as if there were no others. A prediction goes where a row with the same inputs is, or else
    by a hash of its inputs; of a split by group, where its group is, or by a hash of that. So the training rows of a
    model never become test rows of a later one, which it would answer better than rows it has not seen. Of a split by
    time, the last rows are the test rows, whatever they are.

    Parameters
    ----------
    table : DataFrame, shape (n_rows, n_columns)
        Checked; its index is each row's place in the file.
    params : DatasetParams
    own : DataFrame, shape (n_own, n_columns)
        The table's own rows, checked without the predictions.

    Returns
    -------
    train, test : arrays of int
        Positions in `table`, as from `split_rows`.

    Raises
    ------
    TableError
        As of `split_rows`.
    """
    if params.split.strategy == "time":
        return split_rows(table, params)
    train, test = (table.index.get_indexer(own.index[side]) for side in split_rows(own, params))
    added = np.flatnonzero(~table.index.isin(own.index))
    by_group = params.split.strategy == "group"
    hashes = _hashes(
        table[[params.split.column]] if by_group else table.drop(columns=params.non_features(table.columns))
    )
    is_test = pd.util.hash_array(hashes[added] ^ np.uint64(params.split.seed)) < params.split.test_size * 2**64
    is_test |= np.isin(hashes[added], hashes[test])
    is_test &= ~np.isin(hashes[added], hashes[train])
    return np.concatenate([train, added[~is_test]]), np.concatenate([test, added[is_test]])


def _hashes(table: pd.DataFrame) -> NDArray[np.uint64]:
    """Return a hash of each row, in which whole numbers are numbers, whether or not others miss in their column."""
    columns = {
        name: as_text(column) if kind_of(column) in ("text", None) else column.astype(np.float64) + 0.0  # no -0
        for name, column in table.items()
    }
    hashed = pd.util.hash_pandas_object(pd.DataFrame(columns, copy=False), index=False)
    return np.asarray(hashed, dtype=np.uint64)
