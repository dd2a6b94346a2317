"""Parsing request bodies and writing responses, without a server."""

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonschema_rs
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pandas._libs.parsers import STR_NA_VALUES
from starlette.requests import Request
from starlette.responses import Response
from xgboost import XGBClassifier, XGBRegressor

from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.features.transformer import FeatureTransformer
from pipeline.learn.task import Task
from pipeline.service.models.engine import Engine
from pipeline.service.models.explain import explain
from pipeline.service.models.served import ServedModel
from pipeline.service.requests.bad_request import BadRequest
from pipeline.service.requests.bodies import ARROW, CSV, JSON, parse
from pipeline.service.requests.csv_body import MISSING_VALUES
from pipeline.service.requests.json_body import parse_json
from pipeline.service.requests.responses import render
from pipeline.service.requests.schema import ParsedRows, RowSchema
from pipeline.service.settings import Settings
from pipeline.service.web.openapi import build_document
from pipeline.service.web.pages import add_pages
from pipeline.service.web.routes import add_routes
from pipeline.train.raw_rows_view import RawRowsView, write_view

UNUSUAL_NAMES = ["", " ", "class", "copy", "model_config", "json", "__init__", "_x", 'a "b"', "ü:€", "a\nb", "None"]
ROW = MappingProxyType({"size <m2>": 81.5, "garden": True, "place": "INLAND", "zip": "501"})
MAX_ROWS = 10


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size <m2>": rng.uniform(20, 200, 60),
            "garden": rng.random(60) < 0.5,
            "place": rng.choice(["INLAND", "NEAR [BAY]", "00501"], 60),
            "zip": pd.Categorical(rng.choice(["501", "10001", "7"], 60)),
        }
    )


TRANSFORMER = FeatureTransformer.fit(table(), {})
SCHEMA = RowSchema.from_transformer(TRANSFORMER)


def openapi_document(model: ServedModel | None) -> dict[str, Any]:
    """Return the OpenAPI document of the service."""

    async def handler(request: Request) -> Response:
        return Response()

    app = FastAPI(title="houses", docs_url=None, redoc_url=None)
    add_pages(app)
    paths = ["/predict", "/explain", "/model", "/drift", "/metrics", "/health"]
    add_routes(app, dict.fromkeys(paths, handler), Settings())
    return build_document(app, model)


def served_model(labels: list[Any] | None) -> ServedModel:
    """Return a small model, ready to be served."""
    rows, task = table(), Task(labels)
    features = TRANSFORMER.transform(rows)
    estimator: Any = XGBRegressor(n_estimators=3) if labels is None else XGBClassifier(n_estimators=3)
    estimator.fit(features, rows["size <m2>"] if labels is None else np.arange(60) % len(labels))
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "model.ubj"
        estimator.save_model(file)
        write_view(RawRowsView(TRANSFORMER, TRANSFORMER.feature_names, task, rows), file, file.parent)
        raw = RawRowsModel(file.parent)
    card = {"task": "classification" if labels else "regression"}
    engine = Engine(raw)
    return ServedModel("m", 3, "r", "registry", "xgboost", raw, engine, SCHEMA, None, card, dict(ROW))


LABELS: list[list[Any] | None] = [None, ["a", "b", "ü,€"], [False, True], [1, 2, 3]]


def test_model_predicts_parsed_rows() -> None:
    model = served_model(None)
    parsed = parse_json(SCHEMA, orjson.dumps([dict(ROW), dict.fromkeys(ROW)]), MAX_ROWS)
    assert len(model.predict(parsed.columns, parsed.n_rows).predictions) == 2


def to_json(value: object) -> bytes:
    return json.dumps(value).encode()


def bad_request(call: Callable[[], object]) -> BadRequest:
    """Return the error that a call raises, after checking its form."""
    with pytest.raises(BadRequest) as raised:
        call()
    json.dumps(raised.value.detail)
    assert all(entry.keys() == {"loc", "msg", "type"} and entry["msg"] for entry in raised.value.detail)
    return raised.value


def test_json_is_one_row_or_a_list() -> None:
    assert parse_json(SCHEMA, to_json(dict(ROW)), 1) == ParsedRows(
        {name: [value] for name, value in ROW.items()}, 1, True
    )
    rows = [{"zip": 501, "place": None, "garden": None, "size <m2>": 3}, dict(ROW) | {"zip": 501.0, "size <m2>": 1e300}]
    for body in (to_json(rows), b"\xef\xbb\xbf\n " + to_json(rows)):
        parsed = parse_json(SCHEMA, body, 2)
        assert parsed == ParsedRows(
            {
                "size <m2>": [3.0, 1e300],
                "garden": [None, True],
                "place": [None, "INLAND"],
                "zip": ["501", "501"],
            },
            2,
            False,
        )
        assert list(parsed.columns) == list(ROW)
        assert type(parsed.columns["size <m2>"][0]) is float


@pytest.mark.parametrize(
    ("change", "column", "message"),
    [
        ({"size <m2>": "81.5"}, "size <m2>", 'expected a number, or null for a missing value; got "81.5"'),
        ({"size <m2>": True}, "size <m2>", "got true"),
        ({"size <m2>": [1]}, "size <m2>", "got a list"),
        ({"size <m2>": float("nan")}, "size <m2>", "must be finite and fit into 64 bits; got NaN"),
        ({"size <m2>": float("-inf")}, "size <m2>", "must be finite"),
        ({"size <m2>": 10**400}, "size <m2>", "an integer of 1,329 bits"),
        ({"garden": 1}, "garden", "expected true or false, or null for a missing value; got 1"),
        ({"garden": "true"}, "garden", 'got "true"'),
        ({"place": 501}, "place", "expected text, or null for a missing value; got 501"),
        ({"place": {"a": 1}}, "place", "got an object"),
        ({"zip": True}, "zip", "expected text or a number"),
        ({"zip": float("nan")}, "zip", "must be finite"),
        ({"Size <m2>": 1}, "Size <m2>", 'unknown column: the columns are "size <m2>", "garden", "place", "zip"'),
        ({"x" * 1000: 1}, "x" * 160 + "…", "unknown column"),
    ],
)
def test_invalid_value_names_its_column(change: dict[str, Any], column: str, message: str) -> None:
    body = to_json(dict(ROW) | change)
    single = bad_request(lambda: parse_json(SCHEMA, body, 1))
    assert (single.status, single.detail[0]["loc"]) == (422, ["body", column])
    assert message in single.detail[0]["msg"]
    many = bad_request(lambda: parse_json(SCHEMA, b"[" + to_json(dict(ROW)) + b"," + body + b"]", 2))
    assert (many.status, many.detail[0]["loc"]) == (422, ["body", 1, column])
    assert len(single.detail) == len(many.detail) == 1


def test_missing_and_repeated_columns() -> None:
    missing = bad_request(lambda: parse_json(SCHEMA, b'{"place": "a:b", "zip": "1"}', 1))
    assert [entry["loc"] for entry in missing.detail] == [["body", "size <m2>"], ["body", "garden"]]
    body = to_json(dict(ROW))
    for key in (b'"place"', b'"pl\\u0061ce"', b'"unknown\\u003a"'):
        error = bad_request(lambda key=key: parse_json(SCHEMA, body[:-1] + b", " + key + b': "x"}', 1))  # type: ignore[misc]
        assert error.status == 422
        assert error.detail[0]["type"] in ("repeated_column", "unknown_column")
    colons = dict(ROW) | {"place": "12:30:01 \\u003a"}
    assert parse_json(SCHEMA, to_json([colons, colons]), 2).columns["place"] == [colons["place"]] * 2


def test_long_text_with_separators_is_one_value() -> None:
    for text in ('a,":' * 10**6, "ü" * 10**6, "\0"):
        body = to_json(dict(ROW) | {"place": text})
        assert parse_json(SCHEMA, body, 1).columns["place"] == [text]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "the body is empty"),
        (b" \n", 400, "the body is empty"),
        (b"{", 400, "not valid JSON: EOF"),
        (b"{}}", 400, "trailing characters"),
        (b"hello", 400, "not valid JSON"),
        (b"\xff\xfe[\x00", 400, "not valid JSON"),
        (b'{"place": "\xff"}', 400, "not valid JSON"),
        (b'{"place": "\\ud800"}', 400, "not valid JSON"),
        (b"[" * 100_000, 400, "recursion limit"),
        (b'{"size <m2>": ' + b"1" * 5000 + b"}", 400, "number out of range"),
        (b"null", 422, "a row must be an object that maps columns to values; got null"),
        (b'"a"', 422, "a row must be an object"),
        (b"[]", 422, "the body has no rows"),
        (b"[[]]", 422, "a row must be an object that maps columns to values; got a list"),
        (b"[" + b"{}," * 10 + b"{}]", 413, "more than 10 rows"),
        (b"[" + b"0," * 10**6 + b"0]", 413, "far more values than 10 rows of 4 columns"),
        (b'{"place": [' + b"0," * 10**6 + b"0]}", 413, "far more values than 1 row of 4 columns"),
        (b'"' + b'\\",' * 10**6, 400, "not valid JSON"),
    ],
)
def test_json_without_rows_is_refused(body: bytes, status: int, message: str) -> None:
    error = bad_request(lambda: parse_json(SCHEMA, body, MAX_ROWS))
    assert error.status == status
    assert message in error.detail[0]["msg"]


def test_all_problems_are_counted_and_the_first_are_listed() -> None:
    rows: list[Any] = [dict(ROW)] * 5000
    rows[4711] = dict(ROW) | {"size <m2>": "abc"}
    single = bad_request(lambda: parse_json(SCHEMA, to_json(rows), 5000))
    assert [entry["loc"] for entry in single.detail] == [["body", 4711, "size <m2>"]]
    many = bad_request(lambda: parse_json(SCHEMA, to_json([{"x": 1}] * 5000), 5000))
    assert len(many.detail) == 21
    assert many.detail[-1]["msg"] == "and 24,980 more problems"
    keys = b",".join(b'"%d":0' % number for number in range(10_000))
    unknown = bad_request(lambda: parse_json(SCHEMA, b"{" + keys + b"}", 1))
    assert unknown.detail[-1]["msg"] == "and 9,984 more problems"


def test_columns_may_have_any_name() -> None:
    schema = RowSchema(dict.fromkeys(UNUSUAL_NAMES, "number"), {})
    row = {name: float(index) for index, name in enumerate(UNUSUAL_NAMES)}
    assert parse_json(schema, to_json(row), 1).columns == {name: [value] for name, value in row.items()}
    body = pd.DataFrame([row]).to_csv(index=False).encode()
    assert parse(schema, body, CSV, 1).columns == {name: [value] for name, value in row.items()}
    assert parse(schema, stream(pa.table(pd.DataFrame([row]))), ARROW, 1).n_rows == 1
    error = bad_request(lambda: parse_json(schema, to_json(row | {"copy": "x"}), 1))
    assert error.detail[0]["loc"] == ["body", "copy"]


def test_text_column_accepts_numbers_if_all_categories_are_unambiguous_numbers() -> None:
    categories = {
        "codes": ["501", "00501"],
        "zips": ["501", "1.5"],
        "none": [],
        "infinite": ["inf"],
        "long": ["1" * 20],
    }
    assert RowSchema(dict.fromkeys(categories, "text"), categories).numeric_texts == {"zips"}


def test_columns_that_are_not_one_hot_encoded_are_described() -> None:
    days = pd.date_range("2024-01-01", periods=60)
    rows = pd.DataFrame({"day": days.strftime("%d.%m.%Y"), "sold": np.arange(60) + 45000, "words": ["a|b", "b"] * 30})
    settings = {"dates": {"day": "%d.%m.%Y", "sold": "excel"}, "lists": {"words": "|"}}
    schema = RowSchema.from_transformer(FeatureTransformer.fit(rows, settings))
    properties = schema.json_schema()["properties"]
    ending = "; null if missing. Any other value is accepted and treated as missing."
    assert {name: found["description"] for name, found in properties.items()} == {
        "day": f"A date or time in the format %d.%m.%Y{ending}",
        "sold": f"A date or time as Excel counts it, in days{ending}",
        "words": "Words, separated by '|'; null if missing. Frequent words in training: b, a.",
    }
    assert [found["type"][0] for found in properties.values()] == ["string", "number", "string"]
    assert schema.max_length("day") > SCHEMA.longest_text
    body = to_json({"day": "31.01.2026", "sold": 45000.5, "words": "a|" * 5000})
    assert parse_json(schema, body, 1).columns["day"] == ["31.01.2026"]


# Values on which pydantic and the documented JSON schema must agree.
values = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
keys = st.sampled_from([*ROW, "x", ""]) | texts
almost_rows = st.dictionaries(keys, values | texts, max_size=6) | st.builds(
    lambda change: dict(ROW) | change, st.dictionaries(st.sampled_from(list(ROW)), values | texts, max_size=2)
)
any_json = st.recursive(
    values | texts, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)


@given(almost_rows | st.lists(almost_rows, max_size=4) | any_json)
def test_json_is_accepted_exactly_if_it_matches_its_schema(value: Any) -> None:
    schema = SCHEMA.json_schema()
    one_or_many = {"oneOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}
    body = to_json(value)
    if jsonschema_rs.Draft202012Validator(one_or_many).is_valid(value):
        parsed = parse(SCHEMA, body, JSON, MAX_ROWS)
        assert all(len(column) == parsed.n_rows for column in parsed.columns.values())
    else:
        assert bad_request(lambda: parse(SCHEMA, body, JSON, MAX_ROWS)).status in (413, 422)


@given(
    st.binary(max_size=60) | texts.map(str.encode), st.sampled_from([JSON, CSV, ARROW, "text/csv; charset=utf-8", ""])
)
def test_random_bytes_are_refused(body: bytes, content_type: str) -> None:
    assert bad_request(lambda: parse(SCHEMA, body, content_type, MAX_ROWS)).status in (400, 422)


@given(
    st.sampled_from([JSON, CSV, ARROW]),
    st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=4),
    st.integers(0),
)
def test_corrupt_bodies_are_parsed_or_refused(kind: str, changes: list[tuple[int, int]], length: int) -> None:
    body = bytearray(BODIES[kind])
    for position, byte in changes:
        body[position % len(body)] = byte
    parsed = parsed_or_refused(bytes(body[: length % (2 * len(body))]), kind)
    if isinstance(parsed, ParsedRows):
        assert {len(column) for column in parsed.columns.values()} == {parsed.n_rows}
    else:
        assert parsed.status in (400, 413, 422)
        json.dumps(parsed.detail)


def parsed_or_refused(body: bytes, content_type: str) -> ParsedRows | BadRequest:
    try:
        return parse(SCHEMA, body, content_type, MAX_ROWS)
    except BadRequest as error:
        return error


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=UTF-8", 200),
        ("Application/JSON", 200),
        ("", 200),
        ("application/json; charset=latin-1", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
    ],
)
def test_content_type_must_be_supported(content_type: str, status: int) -> None:
    if status == 200:
        assert parse(SCHEMA, to_json(dict(ROW)), content_type, 1).single
    else:
        assert bad_request(lambda: parse(SCHEMA, to_json(dict(ROW)), content_type, 1)).status == status


def parse_csv(text: str, max_rows: int = MAX_ROWS) -> ParsedRows:
    return parse(SCHEMA, text.encode("utf-8", "surrogateescape"), CSV, max_rows)


HEADER = "zip,size <m2>,place,garden\n"


def test_csv_is_read_as_the_prepare_stage_reads_tables() -> None:
    parsed = parse_csv(HEADER + '00501, 1e3 ,00501,True\r\n501,,NA,\n"501",nan,"a, ""b""\nc",0\n\n7,-.5,None ,FALSE')
    assert parsed == ParsedRows(
        {
            "size <m2>": [1000.0, None, None, -0.5],
            "garden": [True, None, False, False],
            "place": ["00501", None, 'a, "b"\nc', "None "],
            "zip": ["00501", "501", "501", "7"],
        },
        4,
        False,
    )
    assert list(parsed.columns) == list(ROW)
    assert set(MISSING_VALUES) == STR_NA_VALUES
    for marker in MISSING_VALUES:
        assert set(parse_csv(HEADER + ",".join([marker] * 4)).columns["place"]) == {None}
    frame = table()
    parsed = parse(SCHEMA, frame.to_csv(index=False).encode(), CSV, 60)
    assert parsed.columns == {name: frame[name].tolist() for name in ROW}


@pytest.mark.parametrize(
    ("text", "status", "loc", "message"),
    [
        ("", 400, [], "empty: send a header and rows"),
        ("\n\n", 400, [], "empty: send a header and rows"),
        (HEADER, 422, [], "the body has no rows"),
        (HEADER[:-1], 422, [], "the body has no rows"),
        (HEADER + "1,1,a\n", 400, [], "Row #2: Expected 4 columns, got 3"),
        (HEADER + "1,1,a,1,1\n", 400, [], "Expected 4 columns, got 5"),
        (HEADER + '1,1,a,"1', 400, [], "unexpected end of data"),
        (HEADER + "1,1,\udcff,1\n", 400, [], "UTF-8"),
        ("zip,zip,size <m2>,place,garden\n", 422, ["zip"], "more than once"),
        ("zip,size <m2>,place\n1,1,1", 422, ["garden"], "the column is missing"),
        (HEADER[:-1] + ",extra\n", 422, ["extra"], "unknown column"),
        (HEADER.replace(",", ";"), 422, [HEADER.replace(",", ";")[:-1]], "unknown column"),
        ("a," * 10**6, 422, ["a"], "more than once"),
        ("ü" * 10**6, 422, ["ü" * 160 + "…"], "unknown column"),
        ("\n" * 10**6 + HEADER, 422, [], "the body has no rows"),
        ("\ufeff" + HEADER + "1,1,a,2\n", 422, [0, "garden"], "true or false"),
        (HEADER + '1,1,a 5",y\n', 422, [0, "garden"], "true or false"),
        (
            HEADER + "1,1,a,1\n1,abc,a,1\n",
            422,
            [1, "size <m2>"],
            'expected a finite number, or an empty field for a missing value; got "abc"',
        ),
        (HEADER + "1,inf,a,1\n", 422, [0, "size <m2>"], 'got "inf"'),
        (HEADER + "1,1e999,a,1\n", 422, [0, "size <m2>"], 'got "1e999"'),
        (HEADER + "1,1_000,a,1\n", 422, [0, "size <m2>"], 'got "1_000"'),
        (
            HEADER + "1,1,a,maybe\n",
            422,
            [0, "garden"],
            'expected true or false, or an empty field for a missing value; got "maybe"',
        ),
        (HEADER + "1,1,a,1\n" * 11, 413, [], "more than 10 rows"),
    ],
)
def test_invalid_csv_is_refused(text: str, status: int, loc: list[Any], message: str) -> None:
    error = bad_request(lambda: parse_csv(text))
    assert (error.status, error.detail[0]["loc"]) == (status, ["body", *loc])
    assert message in error.detail[0]["msg"]


def test_the_first_invalid_csv_values_are_listed() -> None:
    error = bad_request(lambda: parse_csv(HEADER + "1,x,a,y\n" * 1000, 1000))
    assert len(error.detail) == 21
    assert error.detail[-1]["msg"] == "and 1,980 more problems"


def stream(*batches: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_table(batch)
    return bytes(sink.getvalue().to_pybytes())


def columns(n_rows: int = 2, **changes: Any) -> pa.Table:
    """Return rows equal to `ROW`, with some columns changed; ``size`` stands for ``size <m2>``."""
    names = {"size": "size <m2>"}
    valid = {name: [value] * n_rows for name, value in ROW.items()}
    return pa.table(valid | {names.get(name, name): values for name, values in changes.items()})


BODIES = {
    JSON: to_json([dict(ROW)] * 2),
    CSV: (HEADER + "1,1,a,1\n" * 2).encode(),
    ARROW: stream(columns(zip=pa.array(["501", None]).dictionary_encode())),
}


@pytest.mark.parametrize(
    "size",
    [
        pa.array([1, None], pa.int8()),
        pa.array([2**63, None], pa.uint64()),
        pa.array([1.5, None], pa.float16()),
        pa.array([None, 1.5], pa.float32()),
        pa.array([1, None]).cast(pa.decimal128(30, 3)),
        pa.array([1.5, 2.5]).dictionary_encode(),
        pa.nulls(2),
    ],
    ids=lambda array: str(array.type),
)
def test_arrow_numbers_become_floats(size: pa.Array) -> None:
    parsed = parse(SCHEMA, stream(columns(size=size)), ARROW, 2)
    expected = [None if value is None else float(value) for value in size.to_pylist()]
    assert parsed.columns["size <m2>"] == expected
    assert all(value is None or type(value) is float for value in parsed.columns["size <m2>"])


@pytest.mark.parametrize("scale", [31, 2_000_000_000, -2])
def test_arrow_decimals_that_pyarrow_cannot_read_are_refused(scale: int) -> None:
    """With a scale beyond the precision, pyarrow reads wrong numbers; far beyond it, pyarrow crashes."""
    numbers = pa.array([1, 2]).cast(pa.decimal128(30, 0))
    size = pa.Array.from_buffers(pa.decimal128(30, scale), 2, numbers.buffers())
    error = bad_request(lambda: parse(SCHEMA, stream(columns(size=size)), ARROW, 2))
    assert (error.status, error.detail[0]["loc"]) == (422, ["body", "size <m2>"])
    assert "decimal128" in error.detail[0]["msg"]


def test_arrow_texts_booleans_and_batches() -> None:
    texts = ["INLAND", None, "ü"]
    for type_ in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.large_string())):
        batch = columns(
            3, place=pa.array(texts, pa.string()).cast(type_), zip=[501, None, 7], garden=[True, None, False]
        )
        parsed = parse(SCHEMA, stream(batch, batch.slice(1)), ARROW, MAX_ROWS)
        assert (parsed.n_rows, parsed.single) == (5, False)
        assert parsed.columns["place"] == texts + texts[1:]
        assert parsed.columns["zip"] == ["501", None, "7", None, "7"]
        assert parsed.columns["garden"] == [True, None, False, None, False]


@pytest.mark.parametrize(
    ("body", "status", "loc", "message"),
    [
        (b"", 400, [], "not an Arrow stream"),
        (b"ARROW1", 400, [], "not an Arrow stream"),
        (BODIES[ARROW][:-100], 400, [], "not an Arrow stream"),
        (stream(columns().slice(0, 0)), 422, [], "the body has no rows"),
        (stream(columns(11)), 413, [], "more than 10 rows"),
        (stream(*[columns()] * 6), 413, [], "more than 10 rows"),
        (stream(columns(extra=[1, 2])), 422, ["extra"], "unknown column"),
        (stream(columns().drop_columns(["zip"])), 422, ["zip"], "the column is missing"),
        (stream(columns(size=[True, False])), 422, ["size <m2>"], "expected a number column; got the Arrow type bool"),
        (stream(columns(size=["1", "2"])), 422, ["size <m2>"], "got the Arrow type string"),
        (stream(columns(garden=[1, 0])), 422, ["garden"], "expected a boolean column; got the Arrow type int64"),
        (stream(columns(place=[1, 0])), 422, ["place"], "expected a text column; got the Arrow type int64"),
        (stream(columns(size=[1.0, float("nan")])), 422, [1, "size <m2>"], "got NaN"),
        (
            stream(columns(), columns(size=[1.0, float("inf")])),
            422,
            [3, "size <m2>"],
            "outside the range of 64-bit floats",
        ),
        (stream(columns(zip=[1.0, float("inf")])), 422, [1, "zip"], "outside the range of 64-bit floats"),
    ],
)
def test_invalid_arrow_is_refused(body: bytes, status: int, loc: list[Any], message: str) -> None:
    error = bad_request(lambda: parse(SCHEMA, body, ARROW, MAX_ROWS))
    assert (error.status, error.detail[0]["loc"]) == (status, ["body", *loc])
    assert message in error.detail[0]["msg"]


def test_arrow_times_for_a_column_of_dates_are_refused_with_its_format() -> None:
    schema = RowSchema({"day": "text"}, {}, {"day": "A date or time in the format %d.%m.%Y; null if missing."})
    table = pa.table({"day": pd.date_range("2026-01-31", periods=2)})
    error = bad_request(lambda: parse(schema, stream(table), ARROW, MAX_ROWS))
    message = error.detail[0]["msg"]
    assert message.startswith("expected a text column (A date or time in the format %d.%m.%Y); got the Arrow type time")


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_arrow_is_refused_before_decompression(compression: str) -> None:
    text = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 2**26], np.int32)), pa.py_buffer(bytes(2**26)))
    for place in (text, text.dictionary_encode()):
        bomb = stream(columns(1, place=place), compression=compression)
        assert len(bomb) < 2**20
        before = pa.total_allocated_bytes()
        error = bad_request(lambda bomb=bomb: parse(SCHEMA, bomb, ARROW, MAX_ROWS))  # type: ignore[misc]
        assert (error.status, error.detail[0]["type"]) == (400, "arrow_compressed")
        assert pa.total_allocated_bytes() - before < 2**20


def test_arrow_rows_that_share_a_long_text_are_refused() -> None:
    text = "x" * 2**20
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 40, pa.int8()), [text])
    one_view = np.array([(len(text), b"xxxx", 0, 0)], "<i4, S4, <i4, <i4")  # length, prefix, buffer, offset
    buffers = [None, pa.py_buffer(one_view.tobytes() * 40), pa.py_buffer(text.encode())]
    view = pa.Array.from_buffers(pa.string_view(), 40, buffers)
    for place in (shared, view):
        error = bad_request(lambda place=place: parse(SCHEMA, stream(columns(40, place=place)), ARROW, 100))  # type: ignore[misc]
        assert (error.status, error.detail[0]["type"]) == (413, "too_large")
    few_rows = bad_request(lambda: parse(SCHEMA, stream(columns(4, place=shared.slice(0, 4))), ARROW, 100))
    assert [entry["type"] for entry in few_rows.detail] == ["text_length"] * 4


def test_length_of_texts_is_limited() -> None:
    text = "x" * SCHEMA.longest_text
    assert parse(SCHEMA, to_json(ROW | {"place": text}), JSON, 1).columns["place"] == [text]
    error = bad_request(lambda: parse(SCHEMA, to_json([dict(ROW), ROW | {"place": f"{text}x"}]), JSON, 2))
    assert (error.status, error.detail[0]["loc"]) == (422, ["body", 1, "place"])
    assert "at most 1,000 characters; this one has 1,001" in error.detail[0]["msg"]
    assert SCHEMA.json_schema()["properties"]["place"]["maxLength"] == 1000
    assert RowSchema({"review": "text"}, {}).json_schema()["properties"]["review"]["maxLength"] == 10_000


@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_responses_match_the_openapi_document(labels: list[Any] | None) -> None:
    model = served_model(labels)
    rows = parse_json(SCHEMA, to_json([dict(ROW), dict.fromkeys(ROW)]), 2)
    outputs = model.predict(rows.columns, rows.n_rows)
    body, media_type = render("", model.identity, outputs, ["i-1", "i-2"], False)
    predictions = json.loads(body)
    assert media_type == JSON
    assert json.loads(render("*/*", model.identity, outputs, ["i-1", "i-2"], True)[0]) == predictions[0]
    schema = openapi_document(model)["components"]["schemas"]["Prediction"]
    for prediction in predictions:
        jsonschema_rs.Draft202012Validator(schema).validate(prediction)
    assert [prediction["prediction_id"] for prediction in predictions] == ["i-1", "i-2"]
    assert {prediction["model_version"] for prediction in predictions} == {3}
    assert [type(prediction["prediction"]) for prediction in predictions] == [
        type(value) for value in outputs.predictions
    ]
    if labels is not None:
        first = predictions[0]
        assert first["label"] == str(first["prediction"])
        assert first["confidence"] == pytest.approx(100 * first["probabilities"][first["label"]])
        assert list(first["probabilities"]) == [str(label) for label in labels]

    schema = openapi_document(model)["components"]["schemas"]["Explanation"]
    for explanation in explain(model, rows.columns, rows.n_rows):
        jsonschema_rs.Draft202012Validator(schema).validate(explanation)

    flat = [
        {key: value for key, value in prediction.items() if key != "probabilities"}
        | {f"probability.{label}": value for label, value in prediction.get("probabilities", {}).items()}
        for prediction in predictions
    ]
    as_csv, media_type = render(CSV, model.identity, outputs, ["i-1", "i-2"], False)
    assert media_type == CSV
    assert pd.read_csv(io.BytesIO(as_csv), dtype={"label": str}).to_dict("records") == flat
    as_arrow, media_type = render(f"{ARROW};q=1, {JSON};q=0.5", model.identity, outputs, ["i-1", "i-2"], False)
    assert media_type == ARROW
    assert pa.ipc.open_stream(as_arrow).read_all().to_pylist() == flat


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("application/json", JSON),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("image/png", JSON),
        ("text/csv;q=x", JSON),
        ("text/csv;q=0", JSON),
        ("TEXT/CSV; header=present", CSV),
        ("text/csv, */*;q=0.1", CSV),
        ("text/csv;q=0.5, application/json", JSON),
        (ARROW, ARROW),
    ],
)
def test_response_has_the_preferred_media_type(accept: str, media_type: str) -> None:
    model = served_model(None)
    outputs = model.predict({name: [value] for name, value in ROW.items()}, 1)
    assert render(accept, model.identity, outputs, ["i"], True)[1] == media_type


@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_document_is_valid_openapi(labels: list[Any] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", "secret")
    for model in (served_model(labels), None):
        document = json.loads(json.dumps(openapi_document(model)))
        loaded = schemathesis.openapi.from_dict(document)
        loaded.validate()
        assert "secret" not in str(document)
        assert {operation.ok().path for operation in loaded.get_all_operations()} == {
            "/", "/predict", "/explain", "/health", "/model", "/drift", "/metrics"
        }  # fmt: skip
        for path in ("/predict", "/explain"):
            assert {"200", "400", "401", "408", "413", "415", "422", "503"} == document["paths"][path]["post"][
                "responses"
            ].keys()
        for schema in document["components"]["schemas"].values():
            jsonschema_rs.meta.validate(schema | {"components": document["components"]})
        row = document["components"]["schemas"]["Row"]
        if model is not None:
            jsonschema_rs.Draft202012Validator(row).validate(row["examples"][0])
            for media_type, content in document["paths"]["/predict"]["post"]["requestBody"]["content"].items():
                examples = [example["value"] for example in content.get("examples", {}).values()]
                for body in [*map(to_json, examples), *([content["example"].encode()] if media_type == CSV else [])]:
                    assert parse(SCHEMA, body, media_type, 2).columns["place"][0] == ROW["place"]
            assert row["properties"]["zip"]["type"] == ["string", "number", "null"]
            assert row["properties"]["place"]["examples"] == ["00501", "INLAND", "NEAR [BAY]"]
