"""Recorded predictions as one table."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import PipelineError
from pipeline.features.columns import as_text
from pipeline.service.recording.parts import Part, parts_in, without_covered


def read_predictions(folder: Path, model_name: str) -> pa.Table:
    """Read all recorded predictions of a model, each once, while the service goes on to record.

    Parameters
    ----------
    folder : Path
        SERVICE_PREDICTIONS, ``data/predictions``.
    model_name : str
        Of the registered model.

    Returns
    -------
    Table, shape (n_rows, n_columns)
        Sorted by time. Versions may have different columns: where a version lacks one, it is null; where versions
        disagree on a column's type, it is text, or of numbers and truth values a number.

    Raises
    ------
    PipelineError
        When there are none, or a file cannot be read.
    """
    place = folder / model_name
    tables: dict[Part, pa.Table] = {}
    while True:
        parts = without_covered(parts_in(place))
        try:
            for part in parts:
                if part not in tables:
                    tables[part] = _read(part)
            break
        except FileNotFoundError:  # it was merged meanwhile
            continue
    if not parts:
        raise PipelineError(
            f"{place} holds no recorded predictions", "start the service with: python src/serve.py, and let it predict"
        )
    return _unified([tables[part] for part in parts]).sort_by("time")


def _read(part: Part) -> pa.Table:
    try:
        with pq.ParquetFile(part.path) as file:
            return file.read()
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise PipelineError(
            f"{part.path} cannot be read: {error}", "fetch it from a copy, or move it to another folder"
        ) from error


def _unified(tables: list[pa.Table]) -> pa.Table:
    """Put tables below each other that may differ in columns and types."""
    types: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for column in table.schema:
            types.setdefault(column.name, set()).add(column.type)
    schema = pa.schema([(name, _common(found)) for name, found in types.items()])
    return pa.concat_tables([_as(table, schema) for table in tables])


def _common(types: set[pa.DataType]) -> pa.DataType:
    if len(types) == 1:
        return next(iter(types))
    return pa.string() if pa.string() in types else pa.float64()


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = []
    for wanted in schema:
        if wanted.name not in table.schema.names:
            columns.append(pa.nulls(table.num_rows, wanted.type))
            continue
        column = table.column(wanted.name)
        if column.type != wanted.type:
            texts = wanted.type == pa.string()
            column = pa.array(as_text(column.to_pandas()), wanted.type) if texts else column.cast(wanted.type)
        columns.append(column)
    return pa.table(columns, schema=schema)
