"""Tables of several files, and the messages about them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import TableError
from pipeline.tables.duplicates import duplicated, row_hashes
from pipeline.tables.files import pattern_folder, table_files, table_sha256
from pipeline.tables.parts import open_parts
from pipeline.tables.read import read_table
from support.parts import force_parts

ROWS = pd.DataFrame({"a": range(6), "b": list("uvwxyz"), "y": np.arange(6) / 2})


def write_parts(folder: Path, **parts: pd.DataFrame) -> Path:
    """Write tables to CSV or Parquet files, by the name before a double underscore."""
    folder.mkdir()
    for name, table in parts.items():
        file = folder / name.replace("__", ".")
        table.to_parquet(file) if file.suffix == ".parquet" else table.to_csv(file, index=False)
    return folder


def test_files_are_sorted_by_name(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "parts", b__csv=ROWS.tail(4), a__csv=ROWS.head(2))
    (folder / ".hidden").touch()
    (folder / "_SUCCESS").touch()
    assert [file.name for file in table_files(folder)] == ["a.csv", "b.csv"]
    pd.testing.assert_frame_equal(read_table(folder), ROWS)
    pd.testing.assert_frame_equal(read_table(tmp_path / "*/b.csv"), ROWS.tail(4).reset_index(drop=True))
    assert pattern_folder(tmp_path / "*/b.csv") == tmp_path
    assert table_sha256(folder) == table_sha256(folder / "*.csv") != table_sha256(folder / "a.csv")


def test_columns_may_be_in_another_order(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "parts", a__csv=ROWS.head(2), b__csv=ROWS.tail(4)[["y", "b", "a"]])
    pd.testing.assert_frame_equal(read_table(folder), ROWS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: write_parts(folder), "holds no files"),
        (lambda folder: (write_parts(folder, a__csv=ROWS) / "year=2026").mkdir(), "holds year=2026, which"),
        (lambda folder: (write_parts(folder, a__csv=ROWS) / "b.csv").symlink_to("none"), "holds b.csv, which is not"),
        (lambda folder: (write_parts(folder, a__csv=ROWS) / "notes.txt").write_text("x"),
         "notes.txt is neither a CSV nor a Parquet file\n  -> remove it from the folder"),
        (lambda folder: write_parts(folder, a__csv=ROWS, b__parquet=ROWS), "holds both CSV and Parquet files"),
        (lambda folder: (write_parts(folder, a__csv=ROWS) / "b.csv").touch(), "b.csv is empty"),
        (lambda folder: write_parts(folder, a__csv=ROWS, b__csv=ROWS.drop(columns="b")),
         "b.csv has no column 'b', which .*a.csv has"),
        (lambda folder: write_parts(folder, a__csv=ROWS, b__csv=ROWS.assign(c=1)),
         "a.csv has no column 'c', which .*b.csv has"),
        (lambda folder: write_parts(folder, a__parquet=ROWS, b__parquet=ROWS.assign(a="x")),
         "'a' has the type int64 in .*a.parquet and str in .*b.parquet"),
        (lambda folder: write_parts(folder, a__csv=ROWS.head(0)), "has a header but no rows"),
    ],
    ids=range(10),
)  # fmt: skip
def test_files_that_are_no_table_are_one_error(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / "parts")
    with pytest.raises(TableError, match=message):
        open_parts(tmp_path / "parts", (), tmp_path / "copies")


def test_a_pattern_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no file matches"):
        read_table(tmp_path / "*.csv")


def test_messages_name_the_row_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    force_parts(monkeypatch, 2)
    folder = write_parts(tmp_path / "parts", a__csv=ROWS, b__csv=ROWS)
    table = open_parts(folder, (), tmp_path / "copies")
    assert len(table.parts) == 6
    assert table.row_name(5) == f"row 6 of {folder / 'a.csv'}"
    assert table.row_name(9) == f"row 4 of {folder / 'b.csv'}"
    assert open_parts(folder / "a.csv", (), tmp_path / "copies").row_name(5) == "row 6"


def test_large_row_groups_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ROWS.to_parquet(tmp_path / "data.parquet")
    force_parts(monkeypatch, 2)
    table = open_parts(tmp_path / "data.parquet", (), tmp_path / "copies")
    assert [part.n_rows for part in table.parts] == [2, 2, 2]
    pd.testing.assert_frame_equal(table.take(np.array([5, 0, 3])), ROWS.loc[[5, 0, 3]])


@pytest.mark.parametrize("statistics", [True, False])
def test_a_missing_value_in_one_row_group_changes_the_type_of_all(tmp_path: Path, statistics: bool) -> None:
    columns = {"a": [1, 2, 3, None], "b": [True, True, None, False], "c": [1, 2, 3, 4], "d": [None, None, "x", "y"]}
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=2, write_statistics=statistics)
    table = open_parts(path, (), tmp_path / "copies")
    assert {name: str(dtype) for name, dtype in table.types.items()} == {
        "a": "float64", "b": "object", "c": "int64", "d": "str",
    }  # fmt: skip
    assert {str(table.read(number)["a"].dtype) for number in (0, 1)} == {"float64"}


def test_large_integers_stay_exact_or_become_the_float_of_their_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [str(2**53 + number) for number in range(6)]
    for name, values in (("whole", numbers), ("float", [*numbers, "0.5"])):
        (tmp_path / f"{name}.csv").write_text("a,b\n" + "".join(f"{value},1\n" for value in values))
    force_parts(monkeypatch, 2)
    for name, dtype in (("whole", "int64"), ("float", "float64")):
        table = open_parts(tmp_path / f"{name}.csv", (), tmp_path / "copies")
        read = pd.concat([table.read(number) for number in range(len(table.parts))])
        assert read["a"].dtype == dtype
        assert read["a"].tolist() == read_table(tmp_path / f"{name}.csv")["a"].tolist()


LARGE, HUGE = 2**64 - 1, 10**20


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([HUGE, 1, 2, 3], "str"),
        ([HUGE, "", 2, 3], "str"),
        ([HUGE, 1, "", 1.5], "str"),
        ([HUGE, HUGE, 1, 1.5], "str"),
        ([LARGE, 1, "", 2], "float64"),
        ([LARGE, "", 1, 2], "float64"),
        ([LARGE, 1, "", 1.5], "float64"),
        ([LARGE, "", "x", ""], "str"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_integers_of_64_bits_and_more_are_read_alike_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[object], dtype: str
) -> None:
    path = tmp_path / "data.csv"
    path.write_text("id,y\n" + "".join(f"{value},1\n" for value in values))
    whole = read_table(path)
    assert whole["id"].dtype == dtype
    assert whole["id"].isna().tolist() == [value == "" for value in values]
    for n_rows in (1, 2, 3):
        force_parts(monkeypatch, n_rows)
        pd.testing.assert_frame_equal(open_parts(path, (), tmp_path / "copies").take(np.arange(4)), whole)


def test_a_part_may_hold_no_value_of_a_nullable_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = ROWS.assign(a=pd.array([1, 2, None, None, None, 3], dtype="Int64"))
    table.to_parquet(tmp_path / "data.parquet")
    force_parts(monkeypatch, 2)
    parts = open_parts(tmp_path / "data.parquet", (), tmp_path / "copies")
    pd.testing.assert_frame_equal(parts.take(np.arange(6)), table)


def test_a_parquet_file_without_row_groups_has_columns(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "parts", b__parquet=ROWS)
    schema = pa.Table.from_pandas(ROWS, preserve_index=False).schema
    pq.ParquetWriter(folder / "a.parquet", schema).close()
    pd.testing.assert_frame_equal(read_table(folder), ROWS)
    with pytest.raises(TableError, match="has a header but no rows"):
        open_parts(folder / "a.parquet", (), tmp_path / "copies")
    pq.ParquetWriter(folder / "a.parquet", schema.remove(0)).close()
    with pytest.raises(TableError, match=r"a.parquet has no column 'a'"):
        read_table(folder)


def test_folders_above_a_pattern_may_have_brackets(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "b[1]", a__csv=ROWS)
    assert [file.name for file in table_files(folder / "*.csv")] == ["a.csv"]
    assert pattern_folder(folder / "*.csv") == folder


def test_long_lists_and_bytes_are_compared_whole() -> None:
    lists = [np.zeros(2000), np.zeros(2000), np.zeros(2000), np.array([np.zeros(2000), "x"], dtype=object)]
    lists[1][1000] = 1e-9
    assert list(duplicated(pd.DataFrame({"a": [*lists, *lists]}))) == [False, False, True, False] + [True] * 4
    assert not duplicated(pd.DataFrame({"a": [b"a", "b'a'"]})).any()


def test_rows_are_duplicates_only_if_all_values_are_equal() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "number": rng.integers(0, 3, 2000),
            "float": rng.choice([0.0, -0.0, np.nan, 1.5], 2000),
            "text": pd.Series(rng.choice(["a", "b", "ab"], 2000), dtype="str").where(rng.random(2000) < 0.9),
            "flag": rng.random(2000) < 0.5,
            "list": [[number] for number in rng.integers(0, 2, 2000)],
            "day": pd.to_datetime("2026-01-01") + pd.to_timedelta(rng.integers(0, 2, 2000), unit="D"),
            "kind": pd.Series(rng.choice(["x", "y"], 2000)).astype("category"),
        }
    )
    expected = table.assign(list=table["list"].map(str)).duplicated().to_numpy()
    assert 0 < expected.sum() < 2000
    assert list(duplicated(table)) == list(expected)
    hashes = row_hashes(pd.DataFrame({"a": np.arange(200_000), "b": np.arange(200_000)[::-1]}))
    assert all(len(np.unique(hashes[half] % 2**32)) > 199_990 for half in (0, 1))  # both halves are mixed
