"""Read recorded predictions as one table."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import PipelineError
from pipeline.features.columns import as_text
from pipeline.service.recording.parts import Part, parts_in, without_covered


def read_predictions(folder: Path, model_name: str) -> pa.Table:
    """Return all recorded predictions of a model, each exactly once, even while the service is recording.

    Parameters
    ----------
    folder : Path
        The setting SERVICE_PREDICTIONS, ``data/predictions`` by default.
    model_name : str
        Name of the registered model.

    Returns
    -------
    Table, shape (n_rows, n_columns)
        Sorted by time. If versions have different columns, those that a version lacks are null in its rows. If they
        have different types of a column, it is text, or a number if they are numeric and boolean.

    Raises
    ------
    PipelineError
        When there are no recorded predictions, or a file cannot be read.
    """
    model_folder = folder / model_name
    tables: dict[Part, pa.Table] = {}
    while True:
        parts = without_covered(parts_in(model_folder))
        try:
            for part in parts:
                if part not in tables:
                    tables[part] = _read(part)
            break
        except FileNotFoundError:  # merged in the meantime
            continue
    if not parts:
        raise PipelineError(
            f"{model_folder} holds no recorded predictions",
            "start the service with: python src/serve.py, and send it requests",
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
            f"{part.path} cannot be read: {error}", "restore the file from a backup, or move it to another folder"
        ) from error


def _unified(tables: list[pa.Table]) -> pa.Table:
    """Concatenate tables that may differ in columns and types."""
    types: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for column in table.schema:
            types.setdefault(column.name, set()).add(column.type)
    schema = pa.schema([(name, _common_type(column_types)) for name, column_types in types.items()])
    return pa.concat_tables([_conformed(table, schema) for table in tables])


def _common_type(types: set[pa.DataType]) -> pa.DataType:
    if len(types) == 1:
        return next(iter(types))
    return pa.string() if pa.string() in types else pa.float64()


def _conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        if field.name not in table.schema.names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name)
        if column.type != field.type:
            is_text = field.type == pa.string()
            column = pa.array(as_text(column.to_pandas()), field.type) if is_text else column.cast(field.type)
        columns.append(column)
    return pa.table(columns, schema=schema)
