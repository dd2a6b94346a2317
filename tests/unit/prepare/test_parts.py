"""A table gives the same files however it is cut into parts."""

import json
import tempfile
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.params.schema import DatasetParams
from pipeline.prepare.stage import prepare
from pipeline.tables.parts import open_parts
from pipeline.tables.read import read_table
from support.hostile import file_contents
from support.hostile_tables import CSV_KINDS, tables
from support.parts import force_parts, force_written_parts

OUTPUTS = ("data/processed", "models", "mlartifacts")
ROWS = 110
SPLITS: dict[str, dict[str, str]] = {  # by the form of the table
    "csv": {},
    "csv.gz": {"strategy": "stratified"},
    "parquet": {"strategy": "stratified", "column": "place"},
    "folder of csv": {"strategy": "group", "column": "house"},
    "folder of parquet": {"strategy": "time", "column": "day"},
    "pattern": {"strategy": "time", "column": "number"},
}


@pytest.fixture
def messy() -> pd.DataFrame:
    """Return a table with missing values in some parts only, duplicates far apart, and mixed columns."""
    rng = np.random.default_rng(5)
    days = pd.Series(pd.date_range("2026-01-01", periods=ROWS)).sample(ROWS, random_state=1).reset_index(drop=True)
    table = pd.DataFrame(
        {
            "size": rng.normal(100, 30, ROWS).round(1),
            "rooms": rng.integers(1, 9, ROWS).astype(float),
            "place": rng.choice(["INLAND", "NEAR BAY", "ISLAND"], ROWS, p=[0.6, 0.36, 0.04]),
            "code": [str(number) if number % 50 else "A7" for number in rng.integers(0, 9, ROWS)],
            "garden": rng.random(ROWS) < 0.3,
            "cellar": (rng.random(ROWS) < 0.3).astype(object),
            "house": rng.integers(0, 30, ROWS),
            "day": days.dt.strftime("%Y-%m-%d"),
            "number": rng.permutation(ROWS),
            "price": rng.lognormal(size=ROWS),
        }
    )
    table.loc[100, "code"] = "A7"  # numbers in all other parts
    table.loc[[50, 51], "rooms"] = np.nan  # whole numbers in all other parts
    table.loc[[5, 90], "cellar"] = None
    table.loc[[7, 105], "price"] = np.nan
    return pd.concat([table, table.iloc[[3, 70, 95]]], ignore_index=True)


def dataset(path: str = "data.csv", **values: object) -> DatasetParams:
    return DatasetParams.model_validate(
        {"path": path, "target": "price", "max_categories": 300, "derived": {"per_room": "size / rooms"}, **values}
    )


def prepared(folder: Path, params: DatasetParams) -> dict[str, bytes]:
    """Return the files of stage prepare, without what names the input."""
    prepare(params, folder)
    files = {name: content for name, content in file_contents(folder).items() if name.startswith(OUTPUTS)}
    profile = json.loads(files["mlartifacts/prepare/data_profile.json"])
    del profile["dataset"]["path"], profile["sha256"]["raw"]
    return files | {"mlartifacts/prepare/data_profile.json": json.dumps(profile).encode()}


def test_categories_and_other_types_of_parquet_are_the_same_in_parts(
    tmp_path: Path, messy: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = messy.drop(columns=["code", "day"]).assign(
        place=messy["place"].astype("category"),
        floor=pd.Categorical(np.arange(len(messy)) // 30),
        rooms=messy["rooms"].astype("Int64"),
        size=messy["size"].astype("float32"),
        half=messy["size"].astype("float16"),
        cellar=messy["cellar"].astype("boolean"),
    )
    (tmp_path / "parts").mkdir()
    typed.to_parquet(tmp_path / "table.parquet", index=False)
    for number, start in enumerate(range(0, len(typed), 25)):
        typed.iloc[start : start + 25].to_parquet(tmp_path / f"parts/{number}.parquet", row_group_size=20)
    expected = prepared(tmp_path, dataset("table.parquet"))
    for path in ("table.parquet", "parts"):
        force_parts(monkeypatch, 7)
        assert prepared(tmp_path, dataset(path)) == expected


@pytest.mark.parametrize(("form", "split"), SPLITS.items(), ids=list(SPLITS))
def test_parts_give_the_same_bytes(
    tmp_path: Path, messy: pd.DataFrame, form: str, split: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    messy.to_csv(tmp_path / "whole.csv", index=False)
    expected = prepared(tmp_path, dataset("whole.csv", split=split))
    path = write_form(tmp_path, messy, form)
    for n_rows in (1 if form == "csv" else 9, 1000):
        force_parts(monkeypatch, n_rows)
        assert prepared(tmp_path, dataset(path, split=split)) == expected


def write_form(folder: Path, table: pd.DataFrame, form: str) -> str:
    """Write a table as one file or several, and return its path for params.yaml."""
    if form in ("csv", "csv.gz"):
        table.to_csv(folder / f"table.{form}", index=False)
        return f"table.{form}"
    if form == "parquet":
        read_back(table, folder).to_parquet(folder / "table.parquet", row_group_size=20)
        return "table.parquet"
    (folder / "parts").mkdir()
    for number, start in enumerate(range(0, len(table), 25)):
        part = table.iloc[start : start + 25]
        if form == "folder of parquet":
            read_back(table, folder).iloc[start : start + 25].to_parquet(folder / f"parts/{number}.parquet")
        else:
            part.to_csv(folder / f"parts/{number}.csv", index=False)
    (folder / "parts" / "_SUCCESS").touch()
    return "parts/*.csv" if form == "pattern" else "parts"


def read_back(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return a table as a CSV file gives it, whose columns have one type each."""
    table.to_csv(folder / "back.csv", index=False)
    return pd.read_csv(folder / "back.csv")


def test_a_large_table_becomes_folders_of_parts(
    tmp_path: Path, messy: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    messy.to_csv(tmp_path / "data.csv", index=False)
    paths = {name: tmp_path / f"data/processed/{name}.parquet" for name in ("train", "test")}
    whole = prepare(dataset(), tmp_path).profile
    tables = {name: pd.read_parquet(path) for name, path in paths.items()}
    scaler = joblib.load(tmp_path / "models/standard_scaler.pkl")

    force_written_parts(monkeypatch, 25)
    profile = prepare(dataset(), tmp_path).profile
    assert [file.name for file in sorted(paths["train"].iterdir())] == [f"part-0000{n}.parquet" for n in range(5)]
    for name, path in paths.items():
        pd.testing.assert_frame_equal(pd.read_parquet(path), tables[name])
    again = joblib.load(tmp_path / "models/standard_scaler.pkl")
    np.testing.assert_allclose(again.mean_, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(again.scale_, scaler.scale_, rtol=1e-12)
    assert profile["columns"] == whole["columns"]
    assert profile["rows"] == whole["rows"]

    folders = file_contents(tmp_path / "data/processed")
    force_parts(monkeypatch, 9)
    assert prepare(dataset(), tmp_path).profile == profile
    assert file_contents(tmp_path / "data/processed") == folders

    monkeypatch.undo()
    assert prepare(dataset(), tmp_path).profile == whole
    assert paths["train"].is_file()
    assert sorted(path.name for path in (tmp_path / "data/processed").iterdir()) == ["test.parquet", "train.parquet"]


def test_errors_name_the_first_row_and_its_file(
    tmp_path: Path, messy: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    messy.loc[[61, 99], "size"] = 1e39
    messy.loc[[88], "day"] = "none"
    (tmp_path / "parts").mkdir()
    for number, start in enumerate(range(0, len(messy), 25)):
        messy.iloc[start : start + 25].to_csv(tmp_path / f"parts/{number}.csv", index=False)
    force_parts(monkeypatch, 2)
    with pytest.raises(PipelineError, match=r"'size', row 12 of .*parts/2.csv, holds 1e\+39"):
        prepare(dataset("parts"), tmp_path)
    by_day = dataset("parts", split={"strategy": "time", "column": "day"}, drop=["size"], derived={})
    with pytest.raises(PipelineError, match=r"'day' has no valid time in row 14 of .*parts/3.csv: 'none'"):
        prepare(by_day, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts"]


def test_a_pattern_must_not_match_the_outputs(tmp_path: Path, messy: pd.DataFrame) -> None:
    (tmp_path / "data/raw").mkdir(parents=True)
    messy.drop(columns="cellar").to_parquet(tmp_path / "data/raw/table.parquet")
    prepare(dataset("data/**/*.parquet"), tmp_path)
    with pytest.raises(PipelineError, match=r"matches .*test.parquet, which this stage has written"):
        prepare(dataset("data/**/*.parquet"), tmp_path)


@settings(max_examples=settings.default.max_examples // 2)
@given(st.data())
def test_any_table_is_read_alike_in_parts(data: st.DataObject) -> None:
    table = data.draw(tables(CSV_KINDS))
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as monkeypatch:
        path = Path(name) / "data.csv"
        path.write_bytes(table.to_csv(index=False).encode())
        try:
            whole = read_table(path)
        except PipelineError:
            whole = None
        force_parts(monkeypatch, data.draw(st.sampled_from([1, 3, 20])))
        try:
            parts = open_parts(path, (), Path(name) / "copies")
            read = pd.concat([parts.read(number) for number in range(len(parts.parts))]).where(
                lambda rows: rows.notna()
            )
        except PipelineError:
            read = None
    assert (whole is None) == (read is None)
    if whole is not None:
        nan, other = whole.where(whole.notna()), read.where(read.notna())  # not None, which Parquet gives
        pd.testing.assert_frame_equal(other, nan, check_index_type=False)
