"""Parse rows from an Arrow IPC stream, batch by batch, with a limit on the size they expand to in memory."""

import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.features.columns import Kind
from pipeline.service.records import Columns
from pipeline.service.requests.bad_request import BadRequest, Problems, no_rows, too_many_rows
from pipeline.service.requests.schema import ParsedRows, RowSchema, numbers_as_texts

if TYPE_CHECKING:
    import pyarrow as pa

# Bytes that a body may expand to beyond twice its own size: rows can share a text, and batches a dictionary.
SPARE = 2**24
# Field numbers in the format's Message.fbs.
HEADER, DICTIONARY_DATA, COMPRESSION = 2, 1, 3


def parse_arrow(schema: RowSchema, body: bytes, max_rows: int) -> ParsedRows:
    """Return the rows of all batches of an Arrow stream.

    Parameters
    ----------
    schema : RowSchema
    body : bytes
        An uncompressed stream: a compressed one could expand to a thousand times the size of the body.
    max_rows : int

    Raises
    ------
    BadRequest
        400 if the body is not an uncompressed Arrow stream; 413 if there are too many rows; 422 if there are none, the
        columns are not the model's or have the wrong type, or a number is not finite.
    """
    import pyarrow as pa

    try:
        return _parse(schema, pa.py_buffer(body), max_rows)
    except BadRequest:
        raise
    except Exception as error:  # on a corrupt stream, pyarrow raises many types of error
        reason = " ".join(str(error).split())[:200]
        raise BadRequest.for_body(400, f"the body is not an Arrow stream: {reason}", "arrow_invalid") from None


def _parse(schema: RowSchema, body: "pa.Buffer", max_rows: int) -> ParsedRows:
    import pyarrow as pa

    if any(_is_compressed(message) for message in pa.ipc.MessageReader.open_stream(body)):
        message = "the Arrow stream is compressed: write it without compression"
        raise BadRequest.for_body(400, message, "arrow_compressed")
    columns: Columns = {name: [] for name in schema.kinds}
    n_rows, size, max_size, problems = 0, 0, 2 * body.size + SPARE, Problems()
    with pa.ipc.open_stream(body) as reader:
        schema.check_columns(reader.schema.names)
        _check_types(schema, reader.schema)
        for batch in reader:
            n_rows += batch.num_rows
            if n_rows > max_rows:
                raise too_many_rows(max_rows)
            size += batch.get_total_buffer_size()
            if size <= max_size:  # validation reads all of a dictionary, so check the size first
                batch.validate(full=True)  # offsets of a corrupt batch could point outside its buffers
                size += sum(map(_text_size, batch.columns))
            if size > max_size:
                message = f"the rows expand to more than {max_size:,} bytes: send fewer rows"
                raise BadRequest.for_body(413, message, "too_large")
            for name, kind in schema.kinds.items():
                columns[name] += _values(batch.column(name), kind)
    if not n_rows:
        raise no_rows()
    for name in schema.kinds:
        if schema.accepts_numbers(name):
            for row_number, value in enumerate(columns[name]):
                if isinstance(value, float) and not math.isfinite(value):
                    schema.add_invalid(problems, (row_number, name), value)
    problems.raise_if_any()
    columns |= {name: numbers_as_texts(columns[name]) for name in schema.numeric_texts}
    return ParsedRows(columns, n_rows, single=False)


def _is_compressed(message: "pa.Message") -> bool:
    """Return whether a message's buffers are compressed; pyarrow itself only reports that by decompressing them."""
    if message.type not in ("record batch", "dictionary"):
        return False
    data = memoryview(message.metadata)
    batch = _target(data, _field(data, _target(data, 0), HEADER))
    if message.type == "dictionary":
        batch = _target(data, _field(data, batch, DICTIONARY_DATA))
    return _field(data, batch, COMPRESSION) != 0


def _field(data: memoryview, table: int, number: int) -> int:
    """Return the position of a field of a FlatBuffers table, 0 if the table does not have it."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    (size,) = struct.unpack_from("<H", data, vtable)
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + entry)[0] if entry < size else 0
    return table + offset if offset else 0


def _target(data: memoryview, position: int) -> int:
    """Return the position that an offset at a position points to."""
    return position + int(struct.unpack_from("<I", data, position)[0])


def _check_types(schema: RowSchema, arrow_schema: "pa.Schema") -> None:
    from pyarrow import types

    problems = Problems()
    for name, kind in schema.kinds.items():
        type_ = arrow_schema.field(name).type
        if not _fits(type_, kind, schema.accepts_numbers(name)):
            is_time = types.is_temporal(type_) and name in schema.descriptions
            expected = f"a {kind} column" + (f" ({schema.descriptions[name].split(';')[0]})" if is_time else "")
            problems.add((name,), f"expected {expected}; got the Arrow type {str(type_)[:80]}", f"{kind}_type")
    problems.raise_if_any()


def _fits(type_: "pa.DataType", kind: Kind, accepts_numbers: bool) -> bool:
    """Return whether a column may have an Arrow type."""
    from pyarrow import types

    if types.is_null(type_):
        return True
    if types.is_dictionary(type_):
        return _fits(type_.value_type, kind, accepts_numbers)
    if accepts_numbers and types.is_decimal(type_):
        return bool(0 <= type_.scale <= type_.precision)  # with other scales pyarrow reads wrong values or crashes
    if accepts_numbers and (types.is_integer(type_) or types.is_floating(type_)):
        return True
    return types.is_boolean(type_) if kind == "boolean" else kind == "text" and _is_text(type_)


def _is_text(type_: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_))


def _text_size(array: "pa.Array") -> int:
    """Return the total bytes of a column's texts; a shared text counts once for each row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_dictionary = pa.types.is_dictionary(array.type)
    values = array.dictionary if is_dictionary else array
    if not _is_text(values.type) or not len(values):
        return 0
    if pa.types.is_string_view(values.type):  # a view has 16 bytes and begins with the length of its text
        views = np.frombuffer(values.buffers()[1], dtype="<i4")[4 * values.offset :][: 4 * len(values) : 4]
        lengths = pa.array(views, type=pa.int64(), mask=pc.is_null(values).to_numpy(zero_copy_only=False))
    else:
        lengths = pc.cast(pc.binary_length(values), pa.int64())
    return int(pc.sum(lengths.take(array.indices) if is_dictionary else lengths).as_py() or 0)


def _values(array: "pa.Array", kind: Kind) -> list[Any]:
    """Return a column's values; rows share one object for each text of a dictionary."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        categories = _values(array.dictionary, kind)
        return [None if index is None else categories[index] for index in array.indices.to_pylist()]
    if kind == "number" or pa.types.is_decimal(array.type):
        array = pc.cast(array, pa.float64(), safe=False)
    values: list[Any] = array.to_pylist()
    return values
