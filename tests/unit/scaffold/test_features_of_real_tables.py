"""Dates and orders found in real tables, and the features that they become."""

from typing import Any

import pandas as pd
import pytest

from pipeline.features.transformer import FeatureTransformer
from pipeline.scaffold.columns import FeatureSetting, classify_column
from pipeline.scaffold.infer import InferredSettings, infer
from support.repositories import REAL_TABLE

TABLES = REAL_TABLE.parent / "tables"

pytestmark = pytest.mark.skipif(not TABLES.exists(), reason=f"{TABLES} does not exist")


def read(name: str, target: str) -> tuple[pd.DataFrame, InferredSettings]:
    table = pd.read_csv(TABLES / f"{name}.csv.gz", low_memory=False)
    return table, infer(table, target, name)


def settings(inferred: InferredSettings, key: str) -> dict[str, Any]:
    return {name: value for name, (value, _) in inferred.features.get(key, {}).items()}


def test_dates_of_births() -> None:
    table = pd.read_csv(TABLES / "births.csv.gz").head(20_000)
    found = {name: classify_column(table[name], table["births"], True).feature for name in ("date", "wday")}
    days = ["Mon", "Tues", "Wed", "Thurs", "Fri", "Sat", "Sun"]
    assert found == {"date": FeatureSetting("dates", "iso"), "wday": FeatureSetting("ordered", days)}
    X = FeatureTransformer.fit(table, {"dates": {"date": "iso"}, "ordered": {"wday": days}}).transform(table)
    assert (X["date_weekday"] == X["wday_order"]).all()
    for part in ("month", "day"):  # the table counts 29 February in all years
        assert (X[f"date_{part}"] == table[part]).mean() > 0.99
    assert "date_hour" not in X


def test_dates_of_birds() -> None:
    table, inferred = read("birds", "effect")
    assert settings(inferred, "dates") == {"date": "%m/%d/%Y %H:%M:%S"}
    assert settings(inferred, "ordered")["birds_struck"] == ["0", "1", "2-10", "11-100", "Over 100"]
    assert "date" not in inferred.drop
    dates = {"dates": settings(inferred, "dates")}
    found = FeatureTransformer.fit(table[["date"]], dates).transform(table[["date"]])
    years = table["date"].str.extract(r"/(\d{4}) ", expand=False).astype(float)
    assert (found["date_year"] == years).all()


def test_orders_of_diamonds_and_days_of_deliveries() -> None:
    assert settings(read("diamonds", "price")[1], "ordered") == {
        "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
        "color": list("DEFGHIJ"),
        "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
    }
    found = settings(read("deliveries", "time_to_delivery")[1], "ordered")
    assert found == {"day": ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]}


@pytest.mark.parametrize(
    ("name", "target"), [("movies", "rating"), ("churn", "churn"), ("penguins", "species"), ("saratoga", "Price [US$]")]
)
def test_tables_without_dates_and_lists_have_none(name: str, target: str) -> None:
    assert not {"dates", "lists"} & read(name, target)[1].features.keys()
