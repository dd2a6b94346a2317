"""Names, texts and codes in a new pipeline folder."""

import gzip
from pathlib import Path

import pytest

from pipeline.scaffold.infer import infer
from pipeline.scaffold.new_pipeline import plain_name, read_table_with_codes
from pipeline.scaffold.params_yaml import as_yaml
from pipeline.support.yaml import read_yaml
from support.hostile import MISREAD_TEXTS

N = 300


@pytest.mark.parametrize(
    "text",
    [*MISREAD_TEXTS, "plain", "a/b.csv", "on", "~", "0o7", "12:30", "2024-01-31", ".inf", "é\x85\xa0", "x" * 300],
)
def test_any_text_becomes_yaml_on_one_line(text: str) -> None:
    assert "\n" not in as_yaml(text)
    assert read_yaml(f"- {as_yaml(text)}  # comment") == [text]


def test_table_names_are_reduced_to_plain_characters() -> None:
    assert plain_name("Größe & Gewicht (2024)") == "Groe-Gewicht-2024"
    assert plain_name("日本") == "table"
    assert plain_name("..a..") == "a"
    assert len(plain_name("x" * 500)) == 80


def test_leading_zeros_make_integer_columns_text(tmp_path: Path) -> None:
    rows = "".join(f"{row % 40:03d},{row % 7}.50,0{row % 9},{row}\n" for row in range(N))
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(f"\ufeffarea,price,part,y\n{rows}".encode()))
    table = read_table_with_codes(path)
    assert list(map(str, table.dtypes)) == ["str", "float64", "str", "int64"]
    assert list(infer(table, "y", "data.csv").categorical) == ["area", "part"]
    table.to_parquet(tmp_path / "data.parquet")
    assert list(map(str, read_table_with_codes(tmp_path / "data.parquet").dtypes)) == ["str", "float64", "str", "int64"]
