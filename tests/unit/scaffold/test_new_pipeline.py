"""Names, texts and codes of a table, as a new pipeline folder writes them."""

import gzip
from pathlib import Path

import pytest

from pipeline.scaffold.infer import infer
from pipeline.scaffold.new_pipeline import plain_name, read_as_written
from pipeline.scaffold.params_yaml import as_yaml
from pipeline.support.yaml import read_yaml
from support.hostile import ODD

N = 300


@pytest.mark.parametrize(
    "text", [*ODD, "plain", "a/b.csv", "on", "~", "0o7", "12:30", "2024-01-31", ".inf", "é\x85\xa0", "x" * 300]
)
def test_any_text_is_yaml_in_one_line(text: str) -> None:
    assert "\n" not in as_yaml(text)
    assert read_yaml(f"- {as_yaml(text)}  # comment") == [text]


def test_names_of_tables_become_plain() -> None:
    assert plain_name("Größe & Gewicht (2024)") == "Groe-Gewicht-2024"
    assert plain_name("日本") == "table"
    assert plain_name("..a..") == "a"
    assert len(plain_name("x" * 500)) == 80


def test_leading_zeros_are_seen_in_the_file_only_where_all_are_whole_numbers(tmp_path: Path) -> None:
    rows = "".join(f"{row % 40:03d},{row % 7}.50,0{row % 9},{row}\n" for row in range(N))
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(f"\ufeffarea,price,part,y\n{rows}".encode()))
    table = read_as_written(path)
    assert list(map(str, table.dtypes)) == ["str", "float64", "str", "int64"]
    assert list(infer(table, "y", "data.csv").categorical) == ["area", "part"]
    table.to_parquet(tmp_path / "data.parquet")
    assert list(map(str, read_as_written(tmp_path / "data.parquet").dtypes)) == ["str", "float64", "str", "int64"]
