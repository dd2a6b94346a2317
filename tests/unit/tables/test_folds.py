"""The folds of the training rows."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.params.schema import Params
from pipeline.tables.folds import search_folds, table_folds


def params(strategy: str = "random", max_rows: int = 50_000, **features: Any) -> Params:
    column = {"column": "g"} if strategy in ("group", "time") else {}
    return Params.model_validate(
        {
            "dataset": {"path": "x.csv", "target": "y", "split": {"strategy": strategy, **column}},
            "features": features,
            "train": {"cv_folds": 4, "search": {"max_rows": max_rows}},
        }
    )


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.normal(size=200), "g": rng.integers(0, 25, 200), "y": np.arange(200) % 2 * 1.0})


@pytest.mark.parametrize("strategy", ["random", "stratified", "group", "time"])
@pytest.mark.parametrize("max_rows", [120, 1000])
def test_inner_folds_use_only_the_training_rows_of_their_fold(
    table: pd.DataFrame, strategy: str, max_rows: int
) -> None:
    with_neighbors = params(strategy, max_rows, neighbors={"k": 3, "by": ["x"]})
    searched, table_divisions = search_folds(table, with_neighbors), list(table_folds(table, with_neighbors))
    assert len(searched.folds) == 4
    for fold in searched.folds:
        assert not set(fold.train) & set(fold.valid)
        assert len(fold.inner) == 3
        for others, held_out in fold.inner:
            assert not set(others) & set(held_out)
            assert set(others) | set(held_out) <= set(fold.train)
    seen = set(np.concatenate([np.concatenate([fold.train, fold.valid]) for fold in searched.folds]))
    assert len(seen) == len(searched.rows) == min(len(table), max_rows)
    assert set(searched.rows) <= set(range(len(table)))
    held_out = np.concatenate([rows for _, rows in table_divisions])
    assert len(held_out) == len(set(held_out))
    if strategy != "time":
        assert set(held_out) == set(range(len(table)))
        for fold in searched.folds:
            assert set(np.concatenate([rows for _, rows in fold.inner])) == set(fold.train)
    if strategy == "group":
        inner = [(searched.rows[a], searched.rows[b]) for fold in searched.folds for a, b in fold.inner]
        for others, rows in [*table_divisions, *inner]:
            assert not set(table["g"].iloc[others]) & set(table["g"].iloc[rows])


def test_there_are_inner_folds_only_for_features_learned_from_the_target(table: pd.DataFrame) -> None:
    assert [fold.inner for fold in search_folds(table, params()).folds] == [[]] * 4
