"""Read and write tables with labeled predictions below their own rows, in a separate file."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.scaffold.new_pipeline import TABLE_SUFFIX
from pipeline.support.files import atomic_write
from pipeline.tables.appended_predictions import AppendedPredictions, appended_predictions
from pipeline.tables.files import is_pattern, pattern_folder
from pipeline.tables.read import read_table

EXTENDED_SUFFIX = "+recorded.parquet"


@dataclass(frozen=True)
class ExtendedTable:
    """A table whose last rows are labeled predictions.

    Attributes
    ----------
    rows : DataFrame, shape (n_rows, n_columns)
    appended : AppendedPredictions
        Describes the last ``len(appended.ids)`` rows.
    """

    rows: pd.DataFrame
    appended: AppendedPredictions

    @property
    def own(self) -> pd.DataFrame:
        """The rows that are not predictions, with their original types."""
        return self.appended.original_rows(self.rows)

    @property
    def predictions(self) -> pd.DataFrame:
        """The rows that are predictions, indexed by their ids."""
        return self.rows.iloc[len(self.rows) - len(self.appended.ids) :].set_axis(list(self.appended.ids))


def read_extended_table(path: Path, text_columns: list[str]) -> ExtendedTable:
    """Read a table, extended or not.

    Raises
    ------
    TableError
        If the table is missing or invalid.
    """
    return ExtendedTable(read_table(path, text_columns), appended_predictions(path))


def extended_path(folder: Path, path: str) -> str:
    """Return the path of the extended table: `path` if it is an extended table itself, else a file beside it.

    Raises
    ------
    PipelineError
        If another file has that path.
    """
    if appended_predictions(folder / path).ids:
        return path
    table = pattern_folder(Path(path)) if is_pattern(folder / path) else Path(path)
    extended = table.with_name(TABLE_SUFFIX.sub("", table.name) + EXTENDED_SUFFIX)
    if (folder / extended).exists() and not appended_predictions(folder / extended).ids:
        raise PipelineError(
            f"{extended}, where {path} with recorded predictions would be written, is another file",
            "move or rename it",
        )
    return str(extended)


def write_extended_table(path: Path, table: ExtendedTable) -> None:
    """Write an extended table, atomically; the same rows give the same bytes.

    Raises
    ------
    PipelineError
        If a column has values of several types, which Parquet does not support.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        rows = pa.Table.from_pandas(table.rows, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise PipelineError(
            f"the rows cannot be written to {path}: {error}", "convert each column to one type"
        ) from None
    metadata = (rows.schema.metadata or {}) | table.appended.metadata()
    with atomic_write(path) as temporary:
        parquet.write_table(rows.replace_schema_metadata(metadata), temporary)
