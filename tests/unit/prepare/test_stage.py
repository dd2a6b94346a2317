import gzip
import json
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.params.load import load_params
from pipeline.params.schema import DatasetParams, FeaturesParams
from pipeline.prepare.stage import prepare
from pipeline.support.files import sha256
from support.parts import force_parts
from support.repositories import change_params

OUTPUTS = ("data/processed", "models", "mlartifacts")
TABLES = ("data/processed/train.parquet", "data/processed/test.parquet")


def dataset(**values: object) -> DatasetParams:
    return DatasetParams.model_validate({"path": "data.csv", "target": "price", **values})


def test_prepare_writes_tables_scaler_and_profile(
    pipeline_folder: Path, table: pd.DataFrame, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    dirty = pd.concat([table, table.head(3), table.tail(2).assign(price=np.nan)])
    dirty.to_csv("data.csv", index=False)
    assert call("prepare") == 0
    profile = json.loads(Path("mlartifacts/prepare/data_profile.json").read_text())

    train, test = pd.read_parquet("data/processed/train.parquet"), pd.read_parquet("data/processed/test.parquet")
    assert capsys.readouterr().out == (
        "prepare: data.csv, 155 rows x 5 columns\n"
        "prepare: dropped 3 exact duplicates and 2 rows without a value in 'price'\n"
        "prepare: 120 training and 30 test rows in data/processed\n"
    )
    assert profile["rows"] == {
        "raw": 155,
        "duplicates_dropped": 3,
        "without_target_dropped": 2,
        "train": 120,
        "test": 30,
    }
    assert (len(train), len(test)) == (120, 30)
    assert sorted(pd.concat([train, test])["price"]) == sorted(table["price"])
    assert list(map(str, train.dtypes)) == ["float64", "float64", "str", "bool", "float64"]
    assert profile == prepare(load_params().dataset, pipeline_folder).profile
    assert profile["sha256"]["raw"] == sha256(Path("data.csv"))
    assert profile["sha256"]["train"] == sha256(Path("data/processed/train.parquet"))
    assert profile["columns"]["size <m2>"]["missing"] == int(table["size <m2>"].isna().sum())
    assert profile["columns"]["place"]["counts"]["INLAND"] == int((table["place"] == "INLAND").sum())

    scaler = joblib.load("models/standard_scaler.pkl")
    assert list(scaler.feature_names_in_) == ["size_m2", "rooms", "per_room"]
    assert scaler.mean_[1] == pytest.approx(train["rooms"].mean())


def test_a_table_gives_the_same_bytes_from_every_format(pipeline_folder: Path, table: pd.DataFrame) -> None:
    sums = []
    for path in ("data.csv", "data.csv.gz", "data.parquet"):
        table.to_parquet(path, index=False) if path.endswith("parquet") else table.to_csv(path, index=False)
        profile = prepare(dataset(path=path), pipeline_folder).profile
        sums.append({**profile["sha256"], "raw": None, "scaler": sha256(Path("models/standard_scaler.pkl"))})
    assert sums[0] == sums[1] == sums[2]


def test_column_kinds_are_declared_or_inferred(pipeline_folder: Path, table: pd.DataFrame) -> None:
    mixed = table.assign(
        code=np.where(table["rooms"] > 4, np.nan, table["rooms"]),
        flag=table["garden"].astype(object).where(table["rooms"] > 2),
        byte_order="a",
    )
    mixed.to_parquet("data.parquet", index=False)
    prepare(dataset(path="data.parquet", categorical=["code"], drop=["byte_order"]), pipeline_folder)
    train = pd.read_parquet("data/processed/train.parquet")
    assert set(train["code"].dropna()) == {"1", "2", "3", "4"}
    assert set(train["flag"].dropna()) == {"True", "False"}
    assert "byte_order" not in train.columns


def test_codes_keep_their_leading_zeros(pipeline_folder: Path) -> None:
    write("zip,price\n" + "".join(f"{'00501' if row % 2 else '10001'},{row}\n" for row in range(20)))
    prepare(dataset(categorical=["zip"]), pipeline_folder)
    assert set(pd.read_parquet("data/processed/train.parquet")["zip"]) == {"00501", "10001"}


def write(text: str | bytes, name: str = "data.csv") -> None:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())


ROWS = "".join(f"{row},{row % 3},{row * 10}\n" for row in range(1, 21))


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (None, {}, "data.csv does not exist"),
        ("", {}, "data.csv is empty"),
        ("\n\n", {}, "data.csv is empty"),
        ("a,b,price\n", {}, "header but no rows"),
        ("a,b,price\n1,2,3\n4,5,6,7\n", {}, "is not a table: .*Expected 3 fields in line 3, saw 4"),
        ("a,b,price\n1,2,3\n\n4,5,6\n7,8\n", {}, "line 5 has 2 values for 3 names"),
        ("a,price\n1,2,3\n4,5,6\n", {}, "is not a table"),
        ("<html><body>\nno\n</body></html>\n", {}, "is not a table: it starts with '<html><body>'"),
        ('[{"a": 1}]\n', {}, "is not a table"),
        (b"PK\x03\x04\x00\x00rest\x00\x01", {}, "is not a table"),
        ("a;b;price\n1;2;3\n", {}, "separated by ';', not by commas"),
        ("a,b,price\ncaf\u00e9,2,3\n".encode("latin-1"), {}, "not UTF-8 text: byte 0xe9 in line 2"),
        ("a,b,a,price\n1,2,3,4\n", {}, r"more than one column named 'a' \(columns 1, 3\)"),
        (",b,price\n1,2,3\n", {}, "no name for column 1"),
        ("a,b,price\n" + ROWS, {"target": "cost"}, "no column 'cost', which dataset.target (?s:.*)a, b, price"),
        ("a,b,price\n" + ROWS, {"drop": ["c"]}, "no column 'c', which dataset.drop"),
        ("a,b,price\n" + ROWS, {"categorical": ["c"]}, "no column 'c', which dataset.categorical"),
        ("a,b,price\n" + ROWS, {"drop": ["a", "b"]}, "no column left to predict from"),
        ("a,b,price\n" + ROWS + "21,0,cheap\n", {}, "column 'price', row 21, holds 'cheap'; .* must be a number"),
        ("a,b,price\n" + ROWS + "21,0,inf\n", {}, "column 'price', row 21, holds inf"),
        ("a,b,price\n" + ROWS + "-inf,0,1\n", {}, "column 'a', row 21, holds -inf"),
        ("a,b,price\n" + ROWS + "1e39,0,1\n", {}, r"column 'a', row 21, holds 1e\+39"),
        ("a,b,price\n1,2,\n3,4,\n", {}, "column 'price' has no values"),
        ("a,b,price\n,1,1\n,2,2\n", {}, "column 'a' has no values"),
        (
            "a,b,price\n" + ROWS,
            {"categorical": ["a"], "max_categories": 5},
            "'a' is categorical with 20 different values",
        ),
        (
            "a,b,price\n" + ROWS + "n/k,0,1\n",
            {"max_categories": 5},
            "row 21 is 'n/k'.*\n.*correct its values that are not numbers .1 rows",
        ),
        ("a,b,price\n1,2,3\n", {}, "1 usable rows"),
        ("a,b,price\n" + ROWS, {"derived": {"c": "a / z"}}, "derived.c uses 'z', which is not an input column"),
        ("a,b,price\n" + ROWS, {"derived": {"c": "a / price"}}, "derived.c uses 'price', which is not an input"),
        ("a,b,price\n" + ROWS, {"derived": {"b": "a / 2"}}, "derived.b has the name of a column"),
        ("a,b,price\n" + ROWS, {"categorical": ["b"], "derived": {"c": "a / b"}}, "'b', which holds categories"),
        ("a,b,price\n" + ROWS, {"split": {"strategy": "time", "column": "c"}}, "no column 'c', which dataset.split"),
        ("a,b,price\n" + ROWS, {"split": {"strategy": "stratified", "column": "price"}}, "cannot be split by 'price'"),
        ("a,b,price\n" + ROWS, {"derived": {"c": "1 / (a - a)"}}, "'c' has no value in any of the 16 training rows"),
        ("a,b,price\n" + ROWS + "1,1,1e20\n", {}, r"column 'price', row 21, holds 1e\+20"),
        (
            "a,b,price\n" + ROWS,
            {"split": {"strategy": "group", "column": "b", "test_size": 0.9}},
            "cannot be split by 'b'",
        ),
        (
            "a,b,price\n" + ROWS.replace(",1,", ",2,").replace(",0,", ",2,"),
            {"split": {"strategy": "group", "column": "b"}},
            "column 'b' has only one group",
        ),
        (
            "a,b,price\n" + ROWS + "x,1,2\n",
            {"split": {"strategy": "time", "column": "a"}},
            "column 'a' has no valid time in row 21: 'x'",
        ),
    ],
)
def test_an_invalid_table_is_one_error_and_writes_nothing(
    pipeline_folder: Path, content: str | bytes | None, changes: dict[str, object], message: str
) -> None:
    Path("data.csv").unlink()
    if content is not None:
        write(content)
    with pytest.raises(PipelineError, match=message) as raised:
        prepare(dataset(**changes), pipeline_folder)
    assert "\n  -> " in str(raised.value)
    assert not any(Path(output).exists() for output in OUTPUTS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.csv.gz", b"a,b,price\n1,2,3\n", "not a complete gzip file"),
        ("data.csv.gz", gzip.compress(b"a,b,price\n" + ROWS.encode() * 99)[:-40], "not a complete gzip file"),
        ("data.parquet", b"a,b,price\n1,2,3\n", "not a Parquet file"),
        ("data.csv.gz", gzip.compress("a,price\né,1\n".encode("latin-1")), "not UTF-8 text: byte 0xe9 in line 2"),
        ("data.csv", gzip.compress(b"a,b,price\n1,2,3\n"), "is compressed with gzip"),
        ("data.csv", "a,b,price\n1,2,3\n".encode("utf-16"), "is UTF-16 text"),
        ("data.csv", b"PK\x03\x04\xff\xff", "is a zip archive"),
        ("data.xlsx", b"a,b,price\n1,2,3\n", "is neither a CSV nor a Parquet file"),
        ("folder.csv", None, "holds no files"),
    ],
    ids=lambda part: (
        "content" if isinstance(part, bytes) else None
    ),  # gzip writes the time, and test ids must not differ between workers
)
def test_a_file_of_another_format_is_refused(pipeline_folder: Path, name: str, content: bytes, message: str) -> None:
    Path(name).mkdir() if content is None else write(content, name)
    with pytest.raises(PipelineError, match=message):
        prepare(dataset(path=name), pipeline_folder)


def test_columns_that_cannot_be_features_are_refused_unless_dropped(pipeline_folder: Path, table: pd.DataFrame) -> None:
    spans = pd.to_timedelta(np.arange(len(table)), unit="h")
    table.assign(span=spans, tags=[["a"]] * len(table)).to_parquet("data.parquet")
    with pytest.raises(PipelineError, match=r"column 'span' holds Timedelta values.*row 1"):
        prepare(dataset(path="data.parquet", drop=["tags"]), pipeline_folder)
    with pytest.raises(PipelineError, match=r"column 'tags' holds .* values"):
        prepare(dataset(path="data.parquet", drop=["span"]), pipeline_folder)
    prepare(dataset(path="data.parquet", drop=["span", "tags"]), pipeline_folder)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_of_parquet_files_become_text(pipeline_folder: Path, table: pd.DataFrame, zone: str | None) -> None:
    times = pd.Series(pd.date_range("2020-03-28 12:00", periods=len(table), freq="36h", tz=zone))
    rows = table.assign(time=times.where(times.index != 1), day=times.dt.date)
    pd.concat([rows, rows.tail(3)]).to_parquet("data.parquet")
    features = FeaturesParams(dates={"time": "iso", "day": "iso"})
    profile = prepare(dataset(path="data.parquet"), pipeline_folder, features=features).profile
    assert profile["rows"]["duplicates_dropped"] == 3
    assert profile["columns"]["time"]["missing"] == 1
    assert profile["columns"]["day"]["type"] == "str"
    prepared = pd.concat([pd.read_parquet(output) for output in TABLES])
    assert f"2020-03-28 12:00:00{'+01:00' if zone else ''}" in set(prepared["time"])
    assert "2020-03-28" in set(prepared["day"])


def test_features_of_columns_that_do_not_exist_are_refused(pipeline_folder: Path) -> None:
    for features in ({"dates": {"when": "iso"}}, {"ordered": {"when": ["low", "high"]}}, {"text": ["when"]}):
        with pytest.raises(PipelineError, match=f"no column 'when', which features.{next(iter(features))} in params"):
            prepare(dataset(), pipeline_folder, features=FeaturesParams.model_validate(features))


def test_the_script_ends_with_one_message_and_exit_code_2(
    pipeline_folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("prepare") == 0
    change_params(pipeline_folder, dataset={"path": "none.csv", "target": "price"})
    assert call("prepare") == 2
    assert capsys.readouterr().err.startswith("error: none.csv does not exist\n  -> set dataset.path")


def test_duplicates_are_found_in_all_parts(pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{number % 7},{'' if number < 90 else number},{number}\n" for number in range(200)]
    write("a,late,price\n" + "".join(rows) + rows[3] + rows[150] + "-0.0,1,5\n0.0,1,5\n")
    expected = prepare(dataset(), pipeline_folder).profile
    assert expected["rows"]["duplicates_dropped"] == 3
    for n_rows in (7, 60):
        force_parts(monkeypatch, n_rows)
        assert prepare(dataset(), pipeline_folder).profile == expected
