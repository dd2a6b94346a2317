"""Features on disk behave like those in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.params.load import load_params
from pipeline.prepare.stage import prepare
from pipeline.train.feature_rows import RowsOnDisk, batches, select_features, take_rows
from pipeline.train.tables import load_tables
from support.parts import force_written_parts

NAMES = ["a", "b", "c"]


@pytest.fixture
def table() -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    values[3, 1] = np.nan
    return pd.DataFrame(values, columns=NAMES)


@pytest.fixture
def on_disk(table: pd.DataFrame, tmp_path: Path) -> RowsOnDisk:
    starts = np.array([0, 4, 9, 10])
    files = [tmp_path / f"{number}.npy" for number in range(3)]
    for file, start, end in zip(files, starts[:-1], starts[1:], strict=True):
        np.save(file, table.to_numpy()[start:end].T)
    return RowsOnDisk(files, starts, NAMES, NAMES)


def test_batches_have_all_rows_in_order(table: pd.DataFrame, on_disk: RowsOnDisk) -> None:
    assert len(on_disk) == len(table)
    assert [len(batch) for batch in batches(on_disk)] == [4, 5, 1]
    for rows in (on_disk, table):
        pd.testing.assert_frame_equal(pd.concat(batches(rows), ignore_index=True), table)


@pytest.mark.parametrize("names", [["c", "a"], ["b"], NAMES])
@pytest.mark.parametrize("positions", [[9, 0, 4, 3], [5, 5], []])
def test_rows_and_features_are_selected_in_order(
    table: pd.DataFrame, on_disk: RowsOnDisk, names: list[str], positions: list[int]
) -> None:
    rows = np.array(positions, dtype=np.intp)
    expected = table[names].iloc[rows]
    for X in (on_disk, table):
        selected = select_features(X, names)
        assert list(selected.columns) == names
        pd.testing.assert_frame_equal(take_rows(selected, rows), expected, check_index_type=False)


@pytest.mark.parametrize("strategy", ["random", "time"])
def test_tables_are_the_same_in_memory_and_on_disk(
    pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    params = load_params()
    table = pd.read_csv("data.csv")
    rng = np.random.default_rng(1)
    words = rng.choice(["sunny", "dark", "old", "quiet", "near", "lake"], (len(table), 4))
    table = table.assign(
        day=rng.permutation(len(table)),
        street=[f"street {number}" for number in rng.integers(0, 30, len(table))],
        note=[f"{' '.join(row)} {number}" for number, row in enumerate(words)],
    )
    table.to_csv("data.csv", index=False)
    split = params.dataset.split.model_copy(update={"strategy": strategy, "column": "day"})
    dataset = params.dataset.model_copy(update={"split": split if strategy == "time" else params.dataset.split})
    search = params.train.search.model_copy(update={"max_rows": 100})
    train = params.train.model_copy(update={"search": search})
    features = params.features.model_copy(update={"target_encoding": ["street"], "text": ["note"]})
    params = params.model_copy(update={"dataset": dataset, "train": train, "features": features})
    force_written_parts(monkeypatch, 25)
    prepare(params.dataset, pipeline_folder, features=features)
    in_memory, on_disk = (load_tables(pipeline_folder, params, folder) for folder in (None, Path("features")))
    first, second = in_memory.data, on_disk.data
    assert {"street_mean_price", "note_text_1", "neighbors_price"} < set(first.features)
    for name in ("X_train", "X_test"):
        assert isinstance(getattr(second, name), RowsOnDisk)
        pd.testing.assert_frame_equal(
            pd.concat(batches(getattr(second, name)), ignore_index=True), getattr(first, name)
        )
    pd.testing.assert_frame_equal(second.X_search, first.X_search)
    for name in ("y_train", "y_test", "y_search"):
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
    for parts in zip(second.fold_tables(), first.fold_tables(), strict=True):
        for one, other in zip(*parts, strict=True):
            np.testing.assert_array_equal(one, other)
    assert on_disk.reference == in_memory.reference
    for context in ("train", "test"):
        pd.testing.assert_frame_equal(on_disk.samples[context], in_memory.samples[context])


def test_neighbors_are_searched_among_a_sample_of_the_training_rows(pipeline_folder: Path) -> None:
    params = load_params()
    prepare(params.dataset, pipeline_folder)

    def places(max_places: int) -> Any:
        neighbors = params.features.neighbors
        assert neighbors is not None
        features = params.features.model_copy(
            update={"neighbors": neighbors.model_copy(update={"max_places": max_places})}
        )
        tables = load_tables(pipeline_folder, params.model_copy(update={"features": features}))
        part = next(part for part in tables.view.transformer.parts if part.key == "neighbors")
        return {tuple(point) for point in part.arrays()["places"]}, tables.data

    (all_places, with_all), (some_places, with_some) = places(1_000_000), places(20)
    assert len(some_places) < len(all_places)
    assert some_places < all_places
    missing = [data.X_train["neighbors_price"].isna() for data in (with_all, with_some)]
    pd.testing.assert_series_equal(*missing)
