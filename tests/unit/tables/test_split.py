import numpy as np
import pandas as pd
import pytest

from pipeline.errors import TableError
from pipeline.params.schema import DatasetParams
from pipeline.tables import split as splitting
from pipeline.tables.appended_predictions import AppendedPredictions, deciding_hashes
from pipeline.tables.split import Rows, fold_rows, split_column


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "day": pd.Series(pd.date_range("2026-01-01", periods=100))
            .dt.strftime("%Y-%m-%d")
            .sample(100, random_state=1),
            "house": rng.integers(0, 20, 100),
            "kind": rng.choice(["a", "b"], 100, p=[0.8, 0.2]),
            "y": rng.lognormal(size=100),
        }
    ).reset_index(drop=True)


def params(strategy: str, column: str | None = None, **values: object) -> DatasetParams:
    split = {"strategy": strategy, "column": column, "test_size": 0.25, **values}
    return DatasetParams.model_validate({"path": "data.csv", "target": "y", "split": split})


def split_rows(table: pd.DataFrame, params: DatasetParams, n_original: int | None = None) -> tuple[Rows, Rows]:
    """Split a table whose index is each row's position; `n_original` if predictions are appended to its rows."""
    rows, column = table.index.to_numpy(), split_column(params)
    values = table[column] if column else None
    if n_original is None:
        return splitting.split_rows(rows, values, params)
    appended = AppendedPredictions(["id"] * (len(table) - n_original), "", {str(n): str(table[n].dtype) for n in table})
    return appended.split(rows, values, params, deciding_hashes(table, params), len(table))


@pytest.mark.parametrize(
    ("strategy", "column"),
    [("random", None), ("stratified", None), ("stratified", "kind"), ("group", "house"), ("time", "day")],
)
def test_each_row_is_on_one_side_and_in_at_most_one_validation_fold(
    rows: pd.DataFrame, strategy: str, column: str | None
) -> None:
    train, test = split_rows(rows, params(strategy, column))
    assert sorted([*train, *test]) == list(range(100))
    assert strategy == "group" or len(test) == 25
    again, _ = split_rows(rows, params(strategy, column))
    assert list(train) == list(again)

    table = rows.iloc[train].reset_index(drop=True)
    folds = fold_rows(table, params(strategy, column), 4, seed=1)
    validated = np.concatenate([valid for _, valid in folds])
    assert len(set(validated)) == len(validated)
    assert strategy == "time" or len(validated) == len(table)
    assert all(not set(fold) & set(valid) for fold, valid in folds)


def test_different_seeds_give_different_splits(rows: pd.DataFrame) -> None:
    assert list(split_rows(rows, params("random", seed=1))[1]) != list(split_rows(rows, params("random", seed=2))[1])


def test_stratified_test_rows_have_the_shares_of_all_rows(rows: pd.DataFrame) -> None:
    _, test = split_rows(rows, params("stratified", "kind"))
    assert (rows["kind"].iloc[test] == "b").mean() == pytest.approx((rows["kind"] == "b").mean(), abs=0.03)
    _, test = split_rows(rows, params("stratified"))
    above = rows["y"] > rows["y"].median()
    assert above.iloc[test].mean() == pytest.approx(0.5, abs=0.11)  # two or three rows of each decile


def test_a_group_is_on_one_side(rows: pd.DataFrame) -> None:
    train, test = split_rows(rows, params("group", "house"))
    assert not set(rows["house"].iloc[train]) & set(rows["house"].iloc[test])
    for fold, valid in fold_rows(rows, params("group", "house"), 3, seed=1):
        assert not set(rows["house"].iloc[fold]) & set(rows["house"].iloc[valid])


@pytest.mark.parametrize("as_type", ["str", "datetime64[us]", "number"])
def test_later_rows_are_tested_and_validated(rows: pd.DataFrame, as_type: str) -> None:
    days = pd.to_datetime(rows["day"])
    timed = rows.assign(day=days.dt.day_of_year if as_type == "number" else rows["day"].astype(as_type))
    train, test = split_rows(timed, params("time", "day"))
    assert days.iloc[train].max() < days.iloc[test].min()
    assert days.iloc[train].is_monotonic_increasing
    for fold, valid in fold_rows(timed.iloc[train], params("time", "day"), 3, seed=1):
        assert fold.max() < valid.min()


@pytest.mark.parametrize(
    ("strategy", "column", "n_rows", "message"),
    [
        ("random", None, 7, "7 training rows are too few for 4 folds"),
        ("group", "house", 12, "3 groups of 'house', fewer than 4 folds"),
        ("stratified", "kind", 100, "'kind' has a value with 1 training rows .rare., fewer than 4 folds"),
    ],
)
def test_too_few_rows_for_the_folds_are_an_error(
    rows: pd.DataFrame, strategy: str, column: str | None, n_rows: int, message: str
) -> None:
    few = rows.head(n_rows).assign(house=np.arange(n_rows) % 3, kind=["rare"] + ["a"] * (n_rows - 1))
    with pytest.raises(TableError, match=message):
        fold_rows(few, params(strategy, column), 4, seed=1)


def test_a_missing_time_is_an_error(rows: pd.DataFrame) -> None:
    timed = rows.assign(day=pd.to_datetime(rows["day"]).where(rows.index != 7))
    with pytest.raises(TableError, match="'day' has no valid time in row 8"):
        split_rows(timed, params("time", "day"))


@pytest.mark.parametrize(
    ("strategy", "column"), [("random", None), ("stratified", None), ("stratified", "kind"), ("group", "house")]
)
def test_no_row_changes_sides_when_predictions_are_added(rows: pd.DataFrame, strategy: str, column: str | None) -> None:
    split = params(strategy, column)
    added = rows.sample(300, replace=True, random_state=2).assign(house=lambda frame: frame["house"] + 10)
    added["day"] += " 12:00"  # new rows, except for the first 20
    added.iloc[:20] = rows.iloc[:20]
    original = rows.drop(3)  # as a duplicate
    sides = dict(zip(("train", "test"), map(set, split_rows(original, split)), strict=True))
    before = sides
    for n_added in (40, 300):
        table = pd.concat([rows, added.head(n_added)], ignore_index=True).drop([3, 104])
        train, test = split_rows(table, split, n_original=100)
        assert sorted([*train, *test]) == list(table.index)
        found = {"train": set(train), "test": set(test)}
        assert all(before[name] <= found[name] for name in before)
        if strategy == "group":
            assert not set(table["house"].loc[train]) & set(table["house"].loc[test])
        else:
            again = {name: {place - 100 for place in found[name] if place in range(100, 120)} for name in found}
            assert all(again[name] - {3, 4} <= sides[name] for name in sides)
        before = found
    drawn = [place for place in before["test"] if place >= 120]
    assert strategy == "group" or 0.15 < len(drawn) / 280 < 0.35


def test_a_prediction_equals_a_row_where_missing_values_made_an_int_column_float(rows: pd.DataFrame) -> None:
    original = rows.assign(rooms=np.arange(100) % 7)
    added = original.sample(50, random_state=1)
    table = pd.concat([original, added, original.head(1).assign(rooms=np.nan)], ignore_index=True)
    assert table["rooms"].dtype == np.float64
    train, test = split_rows(table, params("random"), n_original=100)
    original_train = set(split_rows(original, params("random"))[0])
    assert {place for place in train if 100 <= place < 150} == {
        100 + number for number, place in enumerate(added.index) if place in original_train
    }
    assert len(test) + len(train) == 151
