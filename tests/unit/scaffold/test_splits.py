"""Splits by group and by time, written where a random split is too optimistic."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from pipeline.scaffold.group_columns import group_codes, sample_groups
from pipeline.scaffold.infer import InferredSettings, infer
from pipeline.scaffold.new_pipeline import read_table_with_codes
from pipeline.scaffold.params_yaml import params_yaml
from pipeline.scaffold.splits import times_of
from pipeline.support.yaml import read_yaml
from support.repositories import REAL_TABLES

N_PEOPLE, N_YEARS = 200, 6


def panel(seed: int = 0) -> pd.DataFrame:
    """Return people in several years: an effect of the person, which the columns that never change reveal."""
    rng = np.random.default_rng(seed)
    number = np.repeat(rng.choice(9000, N_PEOPLE, replace=False), N_YEARS)
    person = np.repeat(np.arange(N_PEOPLE), N_YEARS)
    return pd.DataFrame(
        {
            "nr": number,
            "year": np.tile(np.arange(1980, 1980 + N_YEARS), N_PEOPLE),
            "school": rng.integers(8, 18, N_PEOPLE)[person],
            "height": rng.normal(170, 10, N_PEOPLE).round(1)[person],
            "hours": rng.normal(2000, 300, N_PEOPLE * N_YEARS).round(),
            "wage": rng.normal(0, 1, N_PEOPLE)[person] + rng.normal(0, 0.15, N_PEOPLE * N_YEARS),
        }
    )


def houses() -> pd.DataFrame:
    """Return houses whose prices depend on ordinary columns with many values, each in several rows."""
    rng = np.random.default_rng(1)
    n = 2000
    city, built = rng.integers(0, 40, n), rng.integers(1900, 2020, n)
    rooms, area = rng.integers(1, 25, n), rng.integers(40, 160, n)
    price = 2000 * area + 3000 * rooms + 500 * (built - 1900) + 20_000 * np.sin(city) + rng.normal(0, 20_000, n)
    return pd.DataFrame(
        {
            "city": [f"city {number}" for number in city],
            "year built": built,
            "rooms": rooms,
            "area": area,
            "price": price,
        }
    )


def infer_real_table(name: str) -> InferredSettings:
    tables = map(json.loads, (REAL_TABLES / "tables.jsonl").read_text().splitlines())
    target = next(table["target"] for table in tables if table["file"] == f"{name}.csv.gz")
    return infer(read_table_with_codes(REAL_TABLES / f"{name}.csv.gz"), target, name)


def notes_on(inferred: InferredSettings, column: str) -> list[str]:
    return [note for note in inferred.notes if note.startswith(f"{column!r}:")]


def test_a_person_that_random_folds_recognize_is_a_group() -> None:
    inferred = infer(panel(), "wage", "t")
    assert (inferred.strategy, inferred.split_column) == ("group", "nr")
    assert inferred.drop["nr"] == "the group of the split"
    (note,) = notes_on(inferred, "nr")
    honest, random = map(float, re.findall(r"\d\.\d+", note))
    assert honest > 2 * random
    assert (
        inferred.strategy_reason
        == f"rows with the same value belong together: RMSE {honest:.3g} instead of {random:.3g} with a random split"
    )
    split = read_yaml(params_yaml(inferred, "t.csv", "t"))["dataset"]["split"]
    assert (split["strategy"], split["column"]) == ("group", "nr")


@pytest.mark.parametrize("name", ["person", "person_id"])
@pytest.mark.parametrize("as_text", [False, True])
def test_the_name_and_type_of_an_identifier_do_not_matter(name: str, as_text: bool) -> None:
    table = panel().rename(columns={"nr": name})
    if as_text:
        table[name] = table[name].map("P{:04}".format)
    inferred = infer(table, "wage", "t")
    assert (inferred.strategy, inferred.split_column) == ("group", name)


def test_classes_of_groups_are_tested_too() -> None:
    table = panel()
    inferred = infer(table.assign(wage=np.where(table["wage"] > 0, "high", "low")), "wage", "t")
    assert (inferred.strategy, inferred.split_column) == ("group", "nr")


def test_a_class_in_few_groups_prevents_a_split_by_group() -> None:
    table = panel()
    label = np.where(table["nr"].isin(table["nr"].unique()[:4]), "rare", np.where(table["wage"] > 0, "high", "low"))
    inferred = infer(table.assign(wage=label), "wage", "t")
    assert inferred.strategy == "stratified"
    assert any("strategy: group" in note for note in notes_on(inferred, "nr"))


def test_ordinary_inputs_with_many_values_are_no_groups() -> None:
    inferred = infer(houses(), "price", "t")
    assert (inferred.strategy, inferred.split_column) == ("random", None)
    assert {"city", "year built", "rooms", "area"}.isdisjoint(inferred.drop)
    assert not any(notes_on(inferred, column) for column in ("year built", "rooms", "area"))


def test_identifiers_without_an_effect_stay_a_comment_with_the_figures() -> None:
    table = panel()
    table["wage"] = np.random.default_rng(3).normal(size=len(table)) + table["hours"] / 300
    inferred = infer(table.rename(columns={"nr": "person_id"}), "wage", "t")
    assert inferred.strategy == "random"
    (split,) = [split for split in inferred.alternative_splits if split.column == "person_id"]
    assert split.reason.startswith("if rows with the same value belong together: RMSE ")


@pytest.mark.parametrize("slope", [0.0, 3.0])
def test_a_drift_is_tested_by_time(slope: float) -> None:
    rng = np.random.default_rng(4)
    n = 1500
    day = pd.date_range("2020-01-01", periods=n, freq="D")
    trend = slope * np.linspace(0, 3, n)
    table = pd.DataFrame(
        {"day": day.strftime("%Y-%m-%d"), "x": rng.normal(size=n), "level": trend + rng.normal(0, 0.3, n)}
    )
    table["y"] = table["x"] + trend + rng.normal(0, 0.3, n)
    inferred = infer(table.sample(frac=1, random_state=0, ignore_index=True), "y", "t")
    if slope:
        assert (inferred.strategy, inferred.split_column) == ("time", "day")
        assert "but" in notes_on(inferred, "day")[0]
    else:
        assert inferred.strategy == "random"
        assert inferred.alternative_splits[0].reason.startswith("to test on the latest rows: RMSE ")
        assert not notes_on(inferred, "day")


def test_times_in_other_formats_are_only_noted() -> None:
    n = 1500
    rng = np.random.default_rng(4)
    day = pd.date_range("2020-01-01", periods=n, freq="D").strftime("%d.%m.%Y")
    level = np.linspace(0, 9, n) + rng.normal(0, 0.3, n)
    inferred = infer(pd.DataFrame({"day": day, "level": level, "y": level + rng.normal(0, 0.3, n)}), "y", "t")
    assert inferred.strategy == "random"
    assert "ISO 8601" in notes_on(inferred, "day")[0]


@pytest.mark.parametrize("date_format", ["%Y-%m-%d", "%m/%d/%Y", "%d/%m/%Y", "%d %b %Y"])
def test_dates_are_read_in_common_formats(date_format: str) -> None:
    days = pd.date_range("2020-01-20", periods=30)
    times = times_of(pd.Series(days.strftime(date_format)))
    assert (np.diff(times) == times[1] - times[0]).all()


def test_samples_keep_rows_of_a_group_together() -> None:
    groups = np.repeat(np.arange(5000), 6)
    rows = sample_groups(groups, 1200)
    assert len(rows) == 1200
    assert (np.bincount(groups[rows])[np.unique(groups[rows])] == 6).all()
    large = np.repeat(np.arange(20), 1000)
    assert (np.bincount(large[sample_groups(large, 1000)]) == 50).all()


def test_missing_values_are_a_group() -> None:
    assert list(group_codes(pd.Series(["a", None, "a", None]))) == [0, 1, 0, 1]


DECISIONS = {
    "births": ("time", "date", {"state", "date"}),
    "fatalities": ("random", None, {"state"}),
    **{
        name: ("random", None, set())
        for name in ("cps1988", "deliveries", "diabetes", "diamonds", "movies", "saratoga")
    },
    **{name: ("stratified", None, set()) for name in ("birds", "churn", "crashes", "hpc", "letter", "penguins")},
}


@pytest.mark.skipif(not REAL_TABLES.exists(), reason="needs the shared tables")
@pytest.mark.parametrize("name", DECISIONS)
def test_decisions_on_real_tables(name: str) -> None:
    strategy, column, noted = DECISIONS[name]
    inferred = infer_real_table(name)
    assert (inferred.strategy, inferred.split_column) == (strategy, column)
    assert {note.split("'")[1] for note in inferred.notes if "with a random split" in note} == noted
    assert not inferred.leaks


@pytest.mark.skipif(not REAL_TABLES.exists(), reason="needs the shared tables")
@pytest.mark.parametrize(("name", "column"), [("baseball", "id"), ("covid", "subject_id"), ("email", "time")])
def test_columns_of_real_tables_have_both_figures(name: str, column: str) -> None:
    inferred = infer_real_table(name)
    assert inferred.split_column is None
    (split,) = [split for split in inferred.alternative_splits if split.column == column]
    assert " instead of " in split.reason
    assert notes_on(inferred, column) or name == "covid"
