"""The table of dataset.path with labelled predictions below its rows, in a file of its own beside it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.scaffold.new_pipeline import TABLE_SUFFIX
from pipeline.support.files import replacing
from pipeline.tables.appended_predictions import AppendedPredictions, appended_predictions
from pipeline.tables.read import read_table

ADDED = "+recorded.parquet"


@dataclass(frozen=True)
class ExtendedTable:
    """A table whose last rows are labelled predictions.

    Attributes
    ----------
    rows : DataFrame, shape (n_rows, n_columns)
    appended : AppendedPredictions
        What its last ``len(appended.ids)`` rows are.
    """

    rows: pd.DataFrame
    appended: AppendedPredictions

    @property
    def own(self) -> pd.DataFrame:
        """The rows that are no predictions, with the types they had without them."""
        return self.appended.own(self.rows)

    @property
    def predictions(self) -> pd.DataFrame:
        """The rows that are, by their ids."""
        return self.rows.iloc[len(self.rows) - len(self.appended.ids) :].set_axis(list(self.appended.ids))


def read_extended_table(path: Path, text_columns: list[str]) -> ExtendedTable:
    """Read a table, extended or not.

    Raises
    ------
    TableError
        When there is no such table, or it is broken.
    """
    return ExtendedTable(read_table(path, text_columns), appended_predictions(path))


def place_of(folder: Path, path: str) -> str:
    """Return where the extended table of ``dataset.path`` lies: there if it is one itself, else beside it.

    Raises
    ------
    PipelineError
        When another file lies there.
    """
    if appended_predictions(folder / path).ids:
        return path
    place = Path(path).with_name(TABLE_SUFFIX.sub("", Path(path).name) + ADDED)
    if (folder / place).exists() and not appended_predictions(folder / place).ids:
        raise PipelineError(
            f"{place} is where recorded predictions would be added to the rows of {path}, and it is another file",
            "move or rename it",
        )
    return str(place)


def write_extended_table(path: Path, table: ExtendedTable) -> None:
    """Write an extended table, whole or not at all: the same rows give the same bytes.

    Raises
    ------
    PipelineError
        When a column holds values of several kinds, which Parquet does not take.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        rows = pa.Table.from_pandas(table.rows, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise PipelineError(f"the rows cannot be written to {path}: {error}", "give each column one type") from None
    metadata = (rows.schema.metadata or {}) | table.appended.metadata()
    with replacing(path) as written:
        parquet.write_table(rows.replace_schema_metadata(metadata), written)
