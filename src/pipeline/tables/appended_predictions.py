"""Tables with labeled predictions appended to their rows: the metadata in their files, and how they are split."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.columns import as_text, infer_kind
from pipeline.params.schema import DatasetParams
from pipeline.tables.split import Rows, split_rows

KEY = b"recorded_rows"  # in the metadata of a Parquet file


@dataclass(frozen=True)
class AppendedPredictions:
    """A file's metadata about the predictions in its last rows.

    Attributes
    ----------
    ids : sequence of str
        The ids of the predictions, one for each row; empty if there are none.
    own_sha256 : str, optional
        SHA-256 sum of the file that the rows before them came from; None if there are no predictions.
    own_types : dict of str to str
        Data types of the columns in that file. Missing values in the predictions may have changed them in the table.
    """

    ids: Sequence[str] = ()
    own_sha256: str | None = None
    own_types: dict[str, str] = field(default_factory=dict)

    def metadata(self) -> dict[bytes, bytes]:
        """Return the metadata to write to a Parquet file."""
        return {KEY: json.dumps(asdict(self)).encode()}

    def original_rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows before the predictions, with their original data types."""
        types = {name: type_ for name, type_ in self.own_types.items() if str(table[name].dtype) != type_}
        return table.iloc[: len(table) - len(self.ids)].astype(types)

    def split(
        self, rows: Rows, values: pd.Series | None, params: DatasetParams, hashes: NDArray[np.uint64], n_rows: int
    ) -> tuple[Rows, Rows]:
        """Split the rows of the table so that no row changes sides when more are added.

        The original rows are split as if there were no others. A prediction goes to the side of a row with the same
        inputs or, without one, to the side given by a hash of its inputs; for a split by group, the group decides
        instead of the inputs. So no training row of a model becomes a test row of a later one, where the earlier model
        would have an unfair advantage. A split by time needs no such care: its test rows are always the last rows.

        Parameters
        ----------
        rows, values, params
            As for `split_rows`.
        hashes : array of uint64, shape (n_rows,)
            The `deciding_hashes` of the rows.
        n_rows : int
            Number of rows of the file.

        Returns
        -------
        train, test : arrays of int
            Some of `rows` each, as from `split_rows`.

        Raises
        ------
        TableError
            As in `split_rows`.
        """
        is_original = rows < n_rows - len(self.ids)
        original_values = None if values is None else values[is_original]
        if original_values is not None and original_values.name in params.excluded_columns:
            # Inputs and target are converted already.
            original_type: Any = self.own_types[str(original_values.name)]
            original_values = original_values.astype(original_type)
        train, test = split_rows(rows[is_original], original_values, params)
        known = {name: hashes[np.searchsorted(rows, side)] for name, side in (("train", train), ("test", test))}
        appended, hashes = rows[~is_original], hashes[~is_original]
        is_test = pd.util.hash_array(hashes ^ np.uint64(params.split.seed)) < params.split.test_size * 2**64
        is_test |= np.isin(hashes, known["test"])
        is_test &= ~np.isin(hashes, known["train"])
        return np.concatenate([train, appended[~is_test]]), np.concatenate([test, appended[is_test]])


def appended_predictions(path: Path) -> AppendedPredictions:
    """Return a file's metadata about appended predictions; empty for a file without such metadata."""
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_schema

    try:
        metadata = read_schema(path).metadata or {} if path.is_file() else {}
    except ArrowInvalid:  # such as for a CSV file
        return AppendedPredictions()
    return AppendedPredictions(**json.loads(metadata[KEY])) if KEY in metadata else AppendedPredictions()


def deciding_hashes(table: pd.DataFrame, params: DatasetParams) -> NDArray[np.uint64]:
    """Return a hash of each row's inputs or, for a split by group, of its group.

    It does not depend on whether a numeric column is int or float.
    """
    if params.split.strategy == "group":
        table = table[[str(params.split.column)]]
    else:
        table = table.drop(columns=params.non_features(table.columns))
    columns = {
        name: as_text(column) if infer_kind(column) in ("text", None) else column.astype(np.float64) + 0.0  # no -0
        for name, column in table.items()
    }
    hashed = pd.util.hash_pandas_object(pd.DataFrame(columns, copy=False), index=False)
    return np.asarray(hashed, dtype=np.uint64)
