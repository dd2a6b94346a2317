"""Convert records to a table with one row per prediction: inputs, prediction, time and model version."""

import time
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from pipeline.features.columns import Kind
from pipeline.service.records import ModelIdentity, PredictionRecord

INPUT, PROBABILITY = "input.", "probability."  # column prefixes, so that no raw column or class collides with another
CHUNK_ROWS = 1000  # rows converted at a time
# Release the GIL for PAUSE seconds after every WORK seconds, so that requests do not wait for it.
WORK, PAUSE = 0.0005, 0.0002
TYPES: dict[Kind, pa.DataType] = {"number": pa.float64(), "boolean": pa.bool_(), "text": pa.string()}


def schema_of(model: ModelIdentity) -> pa.Schema:
    """Return the columns in which predictions of `model` are recorded, in order; they depend on the model only."""
    fields = [
        ("prediction_id", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("model_name", pa.string()),
        ("model_version", pa.int64()),
        ("arm", pa.string()),
        ("elapsed_ms", pa.float64()),
        *((INPUT + name, TYPES[kind]) for name, kind in model.kinds.items()),
    ]
    if model.labels is None:
        fields.append(("prediction", pa.float64()))
    else:
        class_type = {bool: pa.bool_(), int: pa.int64(), str: pa.string()}[type(model.labels[0])]
        fields += [("prediction", class_type), ("label", pa.string()), ("confidence", pa.float64())]
        fields += [(f"{PROBABILITY}{label}", pa.float64()) for label in model.labels]
    metadata = {"model_name": model.name, "model_version": str(model.version), "run_id": model.run_id}
    return pa.schema(fields, metadata=metadata)


def table_of(model: ModelIdentity, records: Sequence[PredictionRecord]) -> tuple[pa.Table, str | None]:
    """Return the predictions of a model as a table.

    This holds the GIL for a millisecond at a time at most, so that requests are served in the meantime.

    Parameters
    ----------
    model : ModelIdentity
    records : sequence of PredictionRecord
        Of this model.

    Returns
    -------
    table : Table, shape (n_rows, n_columns)
        With the columns of `schema_of`; missing values are null.
    problem : str, optional
        Why some records are left out: a value does not have the type of its column. None if all are in the table.
    """
    schema = schema_of(model)
    batches: list[pa.RecordBatch] = []
    problem = None
    waiting = list(_chunks(records))[::-1]
    while waiting:
        chunk = waiting.pop()
        try:
            arrays = _with_pauses(_arrays(model, chunk))
            batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
        except Exception as error:  # one invalid record must not cost the others
            problem = f"{type(error).__name__}: {error}"
            middle = len(chunk) // 2
            waiting += [half for half in (chunk[middle:], chunk[:middle]) if middle]
    return pa.Table.from_batches(batches, schema), problem


def _chunks(records: Sequence[PredictionRecord]) -> Iterator[list[PredictionRecord]]:
    chunk: list[PredictionRecord] = []
    rows = 0
    for record in records:
        chunk.append(record)
        rows += len(record.ids)
        if rows >= CHUNK_ROWS:
            yield chunk
            chunk, rows = [], 0
    if chunk:
        yield chunk


def _arrays(model: ModelIdentity, records: list[PredictionRecord]) -> Iterator[pa.Array]:
    """Yield the columns of `schema_of`, in order."""
    counts = [len(record.ids) for record in records]
    n_rows = sum(counts)
    microseconds = np.array([round(record.time * 1e6) for record in records], dtype=np.int64)
    yield pa.array([id_ for record in records for id_ in record.ids], pa.string())
    yield pa.array(np.repeat(microseconds, counts)).cast(pa.timestamp("us", tz="UTC"))
    yield pa.repeat(pa.scalar(model.name, pa.string()), n_rows)
    yield pa.repeat(pa.scalar(model.version, pa.int64()), n_rows)
    yield pa.array([record.arm for record, count in zip(records, counts, strict=True) for _ in range(count)])
    yield pa.array(np.repeat(np.array([record.elapsed_ms for record in records], dtype=np.float64), counts))
    for name, kind in model.kinds.items():
        yield pa.array([value for record in records for value in record.columns[name]], TYPES[kind])
    predictions = [value for record in records for value in record.outputs.predictions]
    yield pa.array(predictions, None if model.labels else pa.float64())
    if model.labels:
        texts = {label: str(label) for label in model.labels}
        yield pa.array([texts[label] for label in predictions], pa.string())
        yield pa.array([value for record in records for value in record.outputs.confidences or []], pa.float64())
        rows = [row for record in records for row in record.outputs.probabilities or []]
        yield from (pa.array(column, pa.float64()) for column in zip(*rows, strict=True))


def _with_pauses(arrays: Iterator[pa.Array]) -> list[pa.Array]:
    done = []
    since = time.perf_counter()
    for array in arrays:
        done.append(array)
        if time.perf_counter() - since > WORK:
            time.sleep(PAUSE)
            since = time.perf_counter()
    return done
