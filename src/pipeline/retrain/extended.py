"""The table of dataset.path with labelled predictions below its rows, in a file of its own beside it."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.files import replacing
from pipeline.prepare.read_table import read_table
from pipeline.scaffold.new_pipeline import ENDING

IDS = b"recorded_predictions"  # in the Parquet file's metadata: of which predictions its last rows are
ADDED = "+recorded.parquet"


@dataclass(frozen=True)
class Extended:
    """A table whose last rows are labelled predictions.

    Attributes
    ----------
    rows : DataFrame, shape (n_rows, n_columns)
    ids : list of str
        Of the predictions in the last ``len(ids)`` rows; empty of a table without any.
    """

    rows: pd.DataFrame
    ids: list[str]

    @property
    def own(self) -> pd.DataFrame:
        """The rows that are no predictions."""
        return self.rows.iloc[: len(self.rows) - len(self.ids)]

    @property
    def predictions(self) -> pd.DataFrame:
        """The rows that are, by their ids."""
        return self.rows.iloc[len(self.rows) - len(self.ids) :].set_axis(self.ids)


def read_extended(path: Path, text_columns: list[str]) -> Extended:
    """Read a table, extended or not.

    Raises
    ------
    TableError
        When there is no such table, or it is broken.
    """
    return Extended(read_table(path, text_columns), ids_in(path) or [])


def ids_in(path: Path) -> list[str] | None:
    """Return the ids of the predictions that a file holds; None of one that was not written here."""
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_schema

    try:
        metadata = read_schema(path).metadata or {}
    except (FileNotFoundError, ArrowInvalid):  # such as of a CSV
        return None
    return list(json.loads(metadata[IDS])) if IDS in metadata else None


def place_of(folder: Path, path: str) -> str:
    """Return where the extended table of ``dataset.path`` lies: there if it is one itself, else beside it.

    Raises
    ------
    PipelineError
        When another file lies there.
    """
    if ids_in(folder / path) is not None:
        return path
    place = Path(path).with_name(ENDING.sub("", Path(path).name) + ADDED)
    if (folder / place).exists() and ids_in(folder / place) is None:
        raise PipelineError(
            f"{place} is where recorded predictions would be added to the rows of {path}, and it is another file",
            "move or rename it",
        )
    return str(place)


def write_extended(path: Path, extended: Extended) -> None:
    """Write an extended table, whole or not at all: the same rows give the same bytes.

    Raises
    ------
    PipelineError
        When a column holds values of several kinds, which Parquet does not take.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = pa.Table.from_pandas(extended.rows, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise PipelineError(f"the rows cannot be written to {path}: {error}", "give each column one type") from None
    metadata = (table.schema.metadata or {}) | {IDS: json.dumps(extended.ids).encode()}
    with replacing(path) as written:
        parquet.write_table(table.replace_schema_metadata(metadata), written)
