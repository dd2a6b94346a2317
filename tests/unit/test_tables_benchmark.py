"""benchmarks/tables.py compares libraries on equal columns; the comparison itself is in benchmarks/smoke.sh."""

import numpy as np
import pandas as pd
import pytest
from table_peers import as_categories, parse_dates, peer_drop, text_columns
from tables import Result, numbers_of

from pipeline.scaffold.infer import infer
from pipeline.scaffold.params_yaml import params_yaml


def test_peers_get_dates_and_texts_but_no_identifiers_and_leaks() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=200)
    days = pd.date_range("2020-01-01", periods=200)
    table = pd.DataFrame(
        {
            "y": y,
            "x": rng.normal(size=200),
            "day": days.strftime("%Y-%m-%d"),
            "name": [f"name {number // 2}" for number in range(200)],
            "caseid": [f"{number // 2}:1" for number in range(200)],
            "customer_id": rng.integers(0, 100, 200),
            "copy": 2 * y,
            "constant": 1,
        }
    )
    text = params_yaml(infer(table, "y", "t.csv"), "t.csv", "t")
    assert peer_drop(text) == ["caseid", "customer_id", "copy", "constant"]


def test_categories_are_those_of_the_training_rows_and_rare_ones_are_missing() -> None:
    train = pd.DataFrame({"a": ["y", "y", "x", "x", "z", None], "b": range(6)})
    test = pd.DataFrame({"a": ["x", "z", "new"], "b": range(3)})
    as_categories(train, test, limit=2)
    assert list(train["a"].cat.categories) == list(test["a"].cat.categories) == ["x", "y"]
    assert list(train["a"].isna()) == [False, False, False, False, True, True]
    assert list(test["a"].isna()) == [False, True, True]
    assert text_columns(train) == ["a"]


def test_dates_in_text_are_parsed_and_other_texts_stay() -> None:
    days = ["1970-01-02", None, "1970-01-03T00:00:00Z"]
    train = pd.DataFrame({"day": days, "late": ["31/12/1970"] * 3, "text": ["a-b"] * 3})
    test = train.head(1).copy()
    parse_dates(train, test)
    assert train["day"].tolist() == [pd.Timestamp("1970-01-02"), pd.NaT, pd.Timestamp("1970-01-03")]
    assert (test["day"].item(), test["late"].item()) == (pd.Timestamp("1970-01-02"), pd.Timestamp("1970-12-31"))
    assert list(test["text"]) == ["a-b"]


def test_refused_tables_are_lost_but_not_in_the_means() -> None:
    results = {
        "a": Result(100, "regression", {"project": 1.0, "flaml": 2.0, "catboost": 4.0}, {"project": 9.0, "flaml": 9.0}),
        "b": Result(100, "regression", {"project": 2.0, "flaml": 1.0}, {"project": 1.0, "flaml": 1.0}),
        "c": Result(refused="prepare.py: error: no rows"),
    }
    numbers = numbers_of(results, ["flaml", "catboost", "lightgbm"])
    assert numbers["refused"] == 1
    assert numbers["ratio_best"] == pytest.approx(1)
    assert numbers["ratio_catboost"] == pytest.approx(0.25)
    assert "ratio_lightgbm" not in numbers
    assert (numbers["share_won"], numbers["share_won_catboost"]) == (pytest.approx(1 / 3), 0.5)
    assert (numbers["seconds_project"], numbers["a_best"], numbers["a_ratio"]) == (10, 2, 0.5)
    assert numbers["c_refused"] == "prepare.py: error: no rows"
