"""The folds of the training rows."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.params.schema import Params
from pipeline.tables.folds import compute_folds


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
    folds = compute_folds(table, params(strategy, max_rows, neighbors={"k": 3, "by": ["x"]}))
    assert len(folds.searched) == 4
    for fold in folds.searched:
        assert not set(fold.train) & set(fold.valid)
        assert len(fold.inner) == 3
        for others, held_out in fold.inner:
            assert not set(others) & set(held_out)
            assert set(others) | set(held_out) <= set(fold.train)
    seen = set(np.concatenate([np.concatenate([fold.train, fold.valid]) for fold in folds.searched]))
    assert len(seen) == min(len(table), max_rows)
    held_out = np.concatenate([rows for _, rows in folds.table])
    assert len(held_out) == len(set(held_out))
    if strategy != "time":
        assert set(held_out) == set(range(len(table)))
        for fold in folds.searched:
            assert set(np.concatenate([rows for _, rows in fold.inner])) == set(fold.train)
    if strategy == "group":
        for others, rows in [*folds.table, *(division for fold in folds.searched for division in fold.inner)]:
            assert not set(table["g"].iloc[others]) & set(table["g"].iloc[rows])


def test_there_are_inner_folds_only_for_features_learned_from_the_target(table: pd.DataFrame) -> None:
    folds = compute_folds(table, params())
    assert (folds.table, [fold.inner for fold in folds.searched]) == ([], [[]] * 4)
