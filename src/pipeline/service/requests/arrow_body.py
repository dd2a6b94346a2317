"""Read rows from an Arrow stream (IPC), batch by batch, and never more of it than the body's size stands for."""

import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.features.columns import Kind
from pipeline.service.answered import Columns
from pipeline.service.requests.bad_request import BadRequest, Problems, no_rows, too_many_rows
from pipeline.service.requests.schema import Parsed, RowSchema, texts

if TYPE_CHECKING:
    import pyarrow as pa

SPARE = 2**24  # bytes that a body may stand for beyond twice its own: rows may share a text, batches a dictionary
# Numbers of fields in the format's Message.fbs.
HEADER, DATA_OF_DICTIONARY, COMPRESSION = 2, 1, 3


def parse_arrow(schema: RowSchema, body: bytes, max_rows: int) -> Parsed:
    """Read the rows of all batches.

    Parameters
    ----------
    schema : RowSchema
    body : bytes
        An uncompressed stream: a compressed one could hold a thousand times the size of the body.
    max_rows : int

    Raises
    ------
    BadRequest
        400 when it is not such a stream; 413 when there are too many rows; 422 when there is none, the columns are
        not the model's, or of another type, or a number is not finite.
    """
    import pyarrow as pa

    try:
        return _parse(schema, pa.py_buffer(body), max_rows)
    except BadRequest:
        raise
    except Exception as error:  # of a broken stream its reader raises whatever it stumbles over
        reason = " ".join(str(error).split())[:200]
        raise BadRequest.of(400, f"the body is not an Arrow stream: {reason}", "arrow_invalid") from None


def _parse(schema: RowSchema, body: "pa.Buffer", max_rows: int) -> Parsed:
    import pyarrow as pa

    if any(_is_compressed(message) for message in pa.ipc.MessageReader.open_stream(body)):
        raise BadRequest.of(400, "the Arrow stream is compressed: write it without compression", "arrow_compressed")
    columns: Columns = {name: [] for name in schema.kinds}
    n_rows, size, largest, problems = 0, 0, 2 * body.size + SPARE, Problems()
    with pa.ipc.open_stream(body) as reader:
        schema.check_columns(reader.schema.names)
        _check_types(schema, reader.schema)
        for batch in reader:
            n_rows += batch.num_rows
            if n_rows > max_rows:
                raise too_many_rows(max_rows)
            size += batch.get_total_buffer_size()
            if size <= largest:  # only now, because it reads all of a dictionary
                batch.validate(full=True)  # or it may point outside its buffers
                size += sum(map(_text_size, batch.columns))
            if size > largest:
                raise BadRequest.of(413, f"the rows stand for more than {largest:,} bytes: send less", "too_large")
            for name, kind in schema.kinds.items():
                columns[name] += _values(batch.column(name), kind)
    if not n_rows:
        raise no_rows()
    for name in schema.kinds:
        if schema.takes_numbers(name):
            for place, value in enumerate(columns[name]):
                if isinstance(value, float) and not math.isfinite(value):
                    schema.add_wrong(problems, (place, name), value)
    problems.refuse()
    columns |= {name: texts(columns[name]) for name in schema.numeric_texts}
    return Parsed(columns, n_rows, single=False)


def _is_compressed(message: "pa.Message") -> bool:
    """Return whether a message's buffers are compressed, which pyarrow tells only by unpacking them."""
    if message.type not in ("record batch", "dictionary"):
        return False
    data = memoryview(message.metadata)
    batch = _followed(data, _field(data, _followed(data, 0), HEADER))
    if message.type == "dictionary":
        batch = _followed(data, _field(data, batch, DATA_OF_DICTIONARY))
    return _field(data, batch, COMPRESSION) != 0


def _field(data: memoryview, table: int, number: int) -> int:
    """Return the place of a field of a FlatBuffers table, 0 where it is absent."""
    directory = table - struct.unpack_from("<i", data, table)[0]
    (size,) = struct.unpack_from("<H", data, directory)
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", data, directory + entry)[0] if entry < size else 0
    return table + offset if offset else 0


def _followed(data: memoryview, place: int) -> int:
    return place + int(struct.unpack_from("<I", data, place)[0])


def _check_types(schema: RowSchema, found: "pa.Schema") -> None:
    problems = Problems()
    for name, kind in schema.kinds.items():
        type_ = found.field(name).type
        if not _fits(type_, kind, schema.takes_numbers(name)):
            problems.add((name,), f"the column takes {kind}s, not values of Arrow's {str(type_)[:80]}", f"{kind}_type")
    problems.refuse()


def _fits(type_: "pa.DataType", kind: Kind, takes_numbers: bool) -> bool:
    """Return whether a column may be of an Arrow type."""
    from pyarrow import types

    if types.is_null(type_):
        return True
    if types.is_dictionary(type_):
        return _fits(type_.value_type, kind, takes_numbers)
    if takes_numbers and types.is_decimal(type_):
        return bool(0 <= type_.scale <= type_.precision)  # others pyarrow reads wrong, or dies of
    if takes_numbers and (types.is_integer(type_) or types.is_floating(type_)):
        return True
    return types.is_boolean(type_) if kind == "boolean" else kind == "text" and _is_text(type_)


def _is_text(type_: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_))


def _text_size(array: "pa.Array") -> int:
    """Return the bytes of a column's texts, each as often as it is there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_dictionary = pa.types.is_dictionary(array.type)
    values = array.dictionary if is_dictionary else array
    if not _is_text(values.type) or not len(values):
        return 0
    if pa.types.is_string_view(values.type):  # each view of 16 bytes begins with its text's length
        views = np.frombuffer(values.buffers()[1], dtype="<i4")[4 * values.offset :][: 4 * len(values) : 4]
        lengths = pa.array(views, type=pa.int64(), mask=pc.is_null(values).to_numpy(zero_copy_only=False))
    else:
        lengths = pc.cast(pc.binary_length(values), pa.int64())
    return int(pc.sum(lengths.take(array.indices) if is_dictionary else lengths).as_py() or 0)


def _values(array: "pa.Array", kind: Kind) -> list[Any]:
    """Return a column's values, one text of a dictionary as one object."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        known = _values(array.dictionary, kind)
        return [None if index is None else known[index] for index in array.indices.to_pylist()]
    if kind == "number" or pa.types.is_decimal(array.type):
        array = pc.cast(array, pa.float64(), safe=False)
    values: list[Any] = array.to_pylist()
    return values
