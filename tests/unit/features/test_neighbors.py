import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.features.kinds.interface import Target
from pipeline.features.kinds.neighbors import Neighbors
from pipeline.features.out_of_fold import OutOfFold
from pipeline.features.transformer import FeatureTransformer
from pipeline.params.schema import Params
from pipeline.prepare.stage import prepare
from pipeline.train.tables import load_tables

X = pd.DataFrame({"a": [0.0, 1.0, 2.0, 10.0, np.nan], "v": [1.0, np.nan, 3.0, np.nan, 5.0]}).astype("float32")
POINTS = X[["a"]].to_numpy()
Y = np.array([10.0, 20.0, 60.0, 100.0, 1000.0])


def fit_neighbors(
    rows: pd.DataFrame, y: np.ndarray, k: int, by: Sequence[str] = ("a",), means: Sequence[str] = ("v",)
) -> FeatureTransformer:
    """Return a transformer whose neighbors are these rows."""
    settings = {"neighbors": {"k": k, "by": list(by), "means": list(means)}}
    transformer = FeatureTransformer.fit(rows, settings)
    return transformer.with_target(transformer.source(rows), Target(["y"], y), settings)


def neighbors_part(transformer: FeatureTransformer) -> Neighbors:
    (part,) = [part for part in transformer.parts if isinstance(part, Neighbors)]
    return part


def means_at(transformer: FeatureTransformer, points: np.ndarray) -> np.ndarray:
    return neighbors_part(transformer).search.transform(points)


def test_means_are_over_the_nearest_rows_with_known_values() -> None:
    transformer = fit_neighbors(X, Y, 2)
    unit = np.std([0, 1, 2, 10])
    means = means_at(transformer, np.array([[0.9], [9.0], [100.0], [np.nan]], dtype=np.float32))
    expected = [
        [15, 1, 0.9 / unit],  # rows 0 and 1; v is missing in row 1
        [80, 3, 7 / unit],
        [80, 3, 98 / unit],
        [np.nan, np.nan, np.nan],  # location unknown
    ]
    np.testing.assert_allclose(means, expected, rtol=1e-6)
    one_row = means_at(fit_neighbors(X.iloc[[1]], Y[[1]], 5), POINTS[:1])
    np.testing.assert_allclose(one_row, [[20, np.nan, 1]])
    no_row = means_at(fit_neighbors(X.iloc[[4]], Y[[4]], 5), POINTS)
    assert np.isnan(no_row).all()


@pytest.mark.parametrize("step", [1.0, 0.1, 1e-6])
def test_results_are_independent_of_the_order_of_training_rows(step: float) -> None:
    """On a grid, most rows have ties with the k-th neighbor; on a coarse one, many rows share a point."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(3000, 3)), columns=["a", "b", "v"]).astype("float32")
    rows[["a", "b"]] = (rows[["a", "b"]] / step).round() * np.float32(step)
    rows.loc[rng.random(len(rows)) < 0.1, "v"] = np.nan
    y = rng.normal(size=len(rows))
    queries = rows[["a", "b"]].to_numpy()
    means = means_at(fit_neighbors(rows, y, 7, ["a", "b"]), queries)
    for _ in range(3):
        order = rng.permutation(len(rows))
        shuffled = means_at(fit_neighbors(rows.iloc[order], y[order], 7, ["a", "b"]), queries)
        np.testing.assert_array_equal(shuffled, means)

    points = rows[["a", "b"]].to_numpy(np.float64)
    distances = np.linalg.norm((points[:200, None] - points[None]) / points.std(axis=0), axis=2)
    kth = np.sort(distances, axis=1)[:, 6]
    is_neighbor = distances <= kth[:, None] * (1 + 1e-9)
    assert (is_neighbor.sum(axis=1) > 7).any() == (step > 1e-6)
    v = rows["v"].to_numpy().astype(float)
    values = np.array([[y[mask].mean(), v[mask][~np.isnan(v[mask])].mean()] for mask in is_neighbor])
    np.testing.assert_allclose(means[:200], np.column_stack([values, kth]), rtol=1e-5, atol=1e-6)


def test_all_points_at_the_same_distance_are_neighbors() -> None:
    circle = [(3, 4), (4, 3), (5, 0), (0, 5), (-3, 4), (4, -3), (-5, 0), (0, -5), (-3, -4), (-4, -3), (3, -4), (-4, 3)]
    rows = pd.DataFrame(circle, columns=["a", "b"]).astype("float32")
    transformer = fit_neighbors(rows, np.arange(12.0), 1, ["a", "b"], [])
    means = means_at(transformer, np.zeros((1, 2), dtype=np.float32))
    np.testing.assert_allclose(means, [[5.5, 5 / rows["a"].std(ddof=0)]], rtol=1e-6)


def test_out_of_fold_features_never_use_a_target_of_the_same_fold() -> None:
    folds = [(np.array([2, 3]), np.array([0, 1])), (np.array([0, 1]), np.array([2]))]
    transformer = fit_neighbors(X, Y, 1)
    settings = {"neighbors": {"k": 1, "by": ["a"], "means": ["v"]}}
    source, rows = transformer.source(X), np.arange(len(X))
    out_of_fold = OutOfFold.fit(transformer, source, Target(["y"], Y), settings, folds, rows, len(X))
    features = out_of_fold.compute(source, out_of_fold.folds, transformer.target_names)
    np.testing.assert_array_equal(features[:3, 0], [60, 60, 20])
    assert np.isnan(features[3:]).all()  # rows in no fold


def test_neighbors_are_saved_and_loaded(tmp_path: Path) -> None:
    transformer = fit_neighbors(X, Y, 2)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        stored = {"transformer": transformer.save(tmp_path / name, ["neighbors_y"])}
        (tmp_path / name / "features.json").write_text(json.dumps(stored))
    files = [(tmp_path / name / "neighbors.npz").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
    loaded = FeatureTransformer.load(tmp_path / "one")
    before, after = neighbors_part(transformer), neighbors_part(loaded)
    assert (after.k, after.by, after.names) == (before.k, before.by, before.names)
    np.testing.assert_array_equal(means_at(loaded, POINTS), means_at(transformer, POINTS))


def test_a_transformer_computes_neighbor_features_and_rejects_other_columns() -> None:
    rows = pd.DataFrame({"a": [0.0, 1, 2, 3], "b": [1.0, 2, 3, 4], "t": list("xyxy")})
    transformer = FeatureTransformer.fit(rows, {"derived": {"sum": "a + b"}})
    features = transformer.transform(rows)
    source, target = transformer.source(rows), Target(["the price"], np.arange(4.0))

    def with_neighbors(by: list[str], means: list[str]) -> FeatureTransformer:
        return transformer.with_target(source, target, {"neighbors": {"k": 1, "by": by, "means": means}})

    fitted = with_neighbors(["a", "sum"], ["b"])
    names = ["neighbors_the_price", "neighbors_b", "neighbors_distance"]
    assert fitted.feature_names == [*transformer.feature_names, *names]
    computed = fitted.transform(rows)
    np.testing.assert_array_equal(computed[names], [[0, 1, 0], [1, 2, 0], [2, 3, 0], [3, 4, 0]])
    assert fitted.target_names == names
    assert fitted.raw_columns[names[0]] == ["a", "b"]
    pd.testing.assert_frame_equal(fitted.transform(rows, only=["a"]), features[["a"]])
    for invalid in ({"by": ["t"]}, {"by": ["a"], "means": ["c"]}):
        with pytest.raises(PipelineError, match="is neither a numeric nor a derived column"):
            with_neighbors(invalid["by"], invalid.get("means", []))


@pytest.mark.parametrize("strategy", ["random", "stratified", "group", "time"])
def test_features_of_a_fold_are_learned_from_its_training_rows(strategy: str, pipeline_folder: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=100), "g": rng.integers(0, 20, 100), "y": np.arange(100.0)})
    table.to_csv("data.csv", index=False)
    split = {"strategy": strategy} | ({} if strategy in ("random", "stratified") else {"column": "g"})
    params = Params.model_validate(
        {
            "dataset": {"path": "data.csv", "target": "y", "split": split},
            "features": {"neighbors": {"k": 1, "by": ["x"]}},
            "train": {"cv_folds": 3, "search": {"max_rows": 100}},
        }
    )
    prepare(params.dataset, pipeline_folder)
    tables = load_tables(pipeline_folder, params).data
    for fold in tables.folds:
        assert fold.target_features is not None
        for rows, features in zip((fold.train, fold.valid), fold.target_features, strict=True):
            neighbor_y = features["neighbors_y"].to_numpy()
            known = ~np.isnan(neighbor_y)
            assert known.any()
            assert set(neighbor_y[known]) <= set(tables.y_search[fold.train])  # y is different in every row
            assert not (neighbor_y == tables.y_search[rows]).any()
        X_train, y_train, X_valid, y_valid = next(iter(tables.only(["neighbors_y", "x"]).fold_tables()))
        assert list(X_train.columns) == list(X_valid.columns) == ["neighbors_y", "x"]
        assert (len(X_train), len(X_valid)) == (len(y_train), len(y_valid))
    assert not (tables.X_train["neighbors_y"] == tables.y_train).any()
    assert set(tables.X_test["neighbors_y"]) <= set(tables.y_train)


def test_too_few_groups_for_folds_within_folds_are_named(pipeline_folder: Path) -> None:
    table = pd.DataFrame({"x": np.arange(90.0), "g": np.arange(90) // 30, "y": np.arange(90.0)})
    table.to_csv("data.csv", index=False)
    split = {"strategy": "group", "column": "g", "test_size": 0.3}
    neighbors = {"k": 1, "by": ["x"]}
    content = {"dataset": {"path": "data.csv", "target": "y", "split": split}, "train": {"cv_folds": 2}}
    params = Params.model_validate({**content, "features": {"neighbors": neighbors}})
    prepare(params.dataset, pipeline_folder)
    with pytest.raises(
        PipelineError, match=r"features.neighbors needs to split .* 1 groups of 'g', fewer than 2 folds"
    ):
        load_tables(pipeline_folder, params)
    load_tables(pipeline_folder, Params.model_validate(content))


def test_the_search_on_a_large_table_uses_a_sample(pipeline_folder: Path) -> None:
    params = Params.model_validate(
        {"dataset": {"path": "data.csv", "target": "price"}, "train": {"cv_folds": 4, "search": {"max_rows": 100}}}
    )
    prepare(params.dataset, pipeline_folder)
    tables = load_tables(pipeline_folder, params).data
    repeated = load_tables(pipeline_folder, params).data
    assert (len(tables.y_train), tables.n_search_rows) == (120, 100)
    for first, second in zip(tables.folds, repeated.folds, strict=True):
        np.testing.assert_array_equal(first.train, second.train)
        assert not set(first.train) & set(first.valid)
    assert len(set(np.concatenate([fold.valid for fold in tables.folds]))) == 100
