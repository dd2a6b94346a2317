"""Features of categories with many values and of free text."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits
from xgboost import XGBRegressor

from pipeline.errors import NotConvertible, PipelineError
from pipeline.features.kinds import text
from pipeline.features.kinds.interface import Target
from pipeline.features.out_of_fold import OutOfFold
from pipeline.features.transformer import FEATURES_FILE, FeatureTransformer
from pipeline.onnx.features import input_feed
from pipeline.onnx.model import to_onnx
from pipeline.onnx.session import open_session

N_ROWS = 400
ENCODED = {"target_encoding": ["user", "zip"]}
WORDS = ["good", "bad", "average", "delicious", "awful", "wine", "cherry", "tannin", "oak", "crisp"]


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    users = rng.integers(0, 40, N_ROWS)
    return pd.DataFrame(
        {
            "size": rng.normal(size=N_ROWS),
            "user": pd.Series([f"u{number}" for number in users]).where(rng.random(N_ROWS) > 0.1),
            "zip": [str(10000 + number % 7) for number in users],
            "review": [" ".join(rng.choice(WORDS, 6)) + str(number) for number in range(N_ROWS)],
        }
    )


def fitted(rows: pd.DataFrame, y: np.ndarray, settings: dict[str, Any], names: list[str]) -> FeatureTransformer:
    transformer = FeatureTransformer.fit(rows, settings)
    return transformer.with_target(transformer.source(rows), Target(names, y), settings)


def save_and_load(transformer: FeatureTransformer, folder: Path, features: list[str]) -> FeatureTransformer:
    saved = {"transformer": transformer.save(folder, features)}
    (folder / FEATURES_FILE).write_text(json.dumps(saved), encoding="utf-8")
    return FeatureTransformer.load(folder)


def test_categories_are_encoded_as_smoothed_means_and_shares(tmp_path: Path) -> None:
    rows = pd.DataFrame({"user": ["a"] * 50 + ["b"] * 50 + ["c", None, None, "d"]})
    y = np.array([10.0, 12.0] * 25 + [0.0, 2.0] * 25 + [20.0, 5.0, 5.0, 6.0])
    transformer = fitted(rows, y, {"target_encoding": ["user"]}, ["price"])
    assert transformer.feature_names == ["user_mean_price", "user_share"]
    assert transformer.raw_columns == {name: ["user"] for name in transformer.feature_names}
    assert transformer.known_categories == {"user": ["a", "b", "c", "d"]}
    new = pd.DataFrame({"user": ["a", "b", "c", None, "unseen"]})
    means, shares = transformer.transform(new).to_numpy().T
    prior = y.mean()
    assert means[:2] == pytest.approx([11, 1], abs=0.5)
    assert prior < means[2] < 20, "the mean of one row is drawn towards that of all rows"
    assert means[4] == pytest.approx(prior)
    assert shares == pytest.approx(np.array([50, 50, 1, 2, 0]) / len(y))
    loaded = save_and_load(transformer, tmp_path, transformer.feature_names)
    np.testing.assert_array_equal(loaded.transform(new), transformer.transform(new))


def test_categories_that_do_not_differ_get_the_mean_of_all_rows(rows: pd.DataFrame) -> None:
    y = np.tile([0.0, 1.0], N_ROWS // 2)
    constant = pd.DataFrame({"user": np.repeat(["a", "b"], N_ROWS // 2)})
    means = fitted(constant, y, {"target_encoding": ["user"]}, ["y"]).transform(constant)["user_mean_y"]
    assert set(means) == {0.5}
    unique = pd.DataFrame({"user": [f"u{number}" for number in range(N_ROWS)]})
    assert set(fitted(unique, y, {"target_encoding": ["user"]}, ["y"]).transform(unique)["user_mean_y"]) == {0.5}


def test_encoded_training_rows_do_not_see_their_own_target(rows: pd.DataFrame) -> None:
    y = np.random.default_rng(1).normal(size=N_ROWS)
    transformer = fitted(rows, y, ENCODED, ["y"])
    source, positions = transformer.source(rows), np.arange(N_ROWS)
    folds = [(positions[positions % 4 != fold], positions[positions % 4 == fold]) for fold in range(4)]

    def out_of_fold(values: np.ndarray) -> np.ndarray:
        out = OutOfFold.fit(transformer, source, Target(["y"], values), ENCODED, folds, positions, N_ROWS)
        return out.compute(source, out.folds, transformer.target_names)

    changed = y.copy()
    changed[0] += 100
    before, after = out_of_fold(y), out_of_fold(changed)
    np.testing.assert_array_equal(before[positions % 4 == 0], after[positions % 4 == 0])
    assert (before[positions % 4 != 0] != after[positions % 4 != 0]).any()


def test_of_many_classes_the_most_frequent_are_encoded(rows: pd.DataFrame) -> None:
    classes = np.minimum(np.random.default_rng(2).geometric(0.2, N_ROWS), 15) - 1
    names = [f"y {number}" for number in range(15)]
    transformer = fitted(rows, np.eye(15)[classes], {"target_encoding": ["user"]}, names)
    encoded = [name for name in transformer.feature_names if name.startswith("user_mean")]
    frequent = np.argsort(-np.bincount(classes, minlength=15), kind="stable")[:10]
    assert encoded == [f"user_mean_y_{number}" for number in sorted(frequent)]
    # The most frequent classes of a few rows are others, but the features are the same.
    few = np.flatnonzero(classes > 8)
    target = Target(names, np.eye(15)[classes], np.bincount(classes, minlength=15)).take(few)
    in_fold = transformer.with_target(transformer.source(rows.iloc[few]), target, {"target_encoding": ["user"]})
    assert in_fold.feature_names == transformer.feature_names


def test_encoded_categories_are_the_same_in_onnx_and_in_requests(rows: pd.DataFrame) -> None:
    y = rows["size"].to_numpy() + rows["zip"].astype(int).to_numpy() % 3
    inputs = rows[["size", "user", "zip"]]
    transformer = fitted(inputs, y, ENCODED, ["y"])
    names = ["user_share", "zip_mean_y", "size"]
    X = transformer.transform(inputs, only=names)
    model = XGBRegressor(n_estimators=20, max_depth=3, n_jobs=1).fit(X, y)
    new = pd.DataFrame({"size": 0.1, "user": ["u1", None, "unseen", "u2"], "zip": ["10001.0", "10001", None, "9"]})
    features = transformer.transform(new, only=names)
    assert features.loc[0, "zip_mean_y"] == features.loc[1, "zip_mean_y"]
    columns = {name: [None if pd.isna(value) else value for value in new[name]] for name in new}
    np.testing.assert_array_equal(transformer.transform_values(columns, names), features)
    session = open_session(to_onnx(transformer, names, model, None).SerializeToString())
    (predicted,) = session.run(["prediction"], input_feed(new, transformer))
    np.testing.assert_allclose(np.ravel(predicted), model.predict(features), rtol=1e-6)


def test_frequent_categories_are_also_one_hot_encoded(rows: pd.DataFrame, tmp_path: Path) -> None:
    users = ["a"] * 30 + ["b"] * 20 + ["c"] * 19 + [f"u{number}" for number in range(30)] + [None]
    rows, columns = pd.DataFrame({"user": users}), ["user"]
    settings = {"target_encoding": columns, "frequent_categories": columns}
    transformer = fitted(rows, np.arange(100.0), settings, ["y"])
    assert transformer.feature_names == ["user_a", "user_b", "user_mean_y", "user_share"]
    assert transformer.target_names == ["user_mean_y", "user_share"]
    assert len(transformer.known_categories["user"]) == 33
    loaded = save_and_load(transformer, tmp_path, transformer.feature_names)
    pd.testing.assert_frame_equal(loaded.transform(rows), transformer.transform(rows))
    many = pd.DataFrame({"user": [f"u{number}" for number in range(130) for _ in range(20 + number % 2)]})
    frequent = FeatureTransformer.fit(many, settings).feature_names
    assert len(frequent) == 100
    assert {f"user_u{number}" for number in range(1, 130, 2)} < set(frequent)


def test_text_becomes_components_and_lengths(rows: pd.DataFrame, tmp_path: Path) -> None:
    settings = {"text": ["review"]}
    inputs = rows[["size", "review"]]
    transformer = FeatureTransformer.fit(inputs, settings)
    n_components = N_ROWS // text.TEXTS_PER_COMPONENT
    components = [f"review_text_{number + 1}" for number in range(n_components)]
    assert transformer.feature_names == ["size", *components, "review_characters", "review_words"]
    assert transformer.raw_columns[components[0]] == ["review"]
    new = pd.DataFrame({"size": [1.0] * 4, "review": ["GOOD cherry", "good cherry", None, ""]})
    features = transformer.transform(new)
    np.testing.assert_array_equal(features.iloc[0], features.iloc[1])
    assert (features.loc[2:, "review_text_1":] == 0).all(axis=None)
    assert features.loc[0, ["review_characters", "review_words"]].tolist() == [11, 2]
    columns = {"size": [1.0] * 4, "review": ["GOOD cherry", "good cherry", None, ""]}
    names = ["review_words", "review_text_3", "size", "review_text_1"]
    np.testing.assert_array_equal(transformer.transform_values(columns, names), features[names])
    loaded = save_and_load(transformer, tmp_path, names)
    pd.testing.assert_frame_equal(loaded.transform(new), features)
    model = XGBRegressor(n_estimators=1, n_jobs=1).fit(features, [1, 2, 3, 4])
    with pytest.raises(NotConvertible, match="features of free text"):
        to_onnx(transformer, transformer.feature_names, model, None)


def test_a_model_without_features_of_text_needs_no_arrays(rows: pd.DataFrame, tmp_path: Path) -> None:
    settings = {"text": ["review"]} | ENCODED
    transformer = fitted(rows, rows["size"].to_numpy(), settings, ["y"])
    loaded = save_and_load(transformer, tmp_path, ["size"])
    assert [path.name for path in tmp_path.iterdir()] == [FEATURES_FILE]
    assert loaded.feature_names == transformer.feature_names
    assert loaded.known_categories == transformer.known_categories
    np.testing.assert_array_equal(loaded.transform(rows, only=["size"])["size"], rows["size"].astype(np.float32))


def test_components_do_not_depend_on_the_order_of_rows_and_the_number_of_threads(rows: pd.DataFrame) -> None:
    settings = {"text": ["review"]}
    with threadpool_limits(2):
        first = FeatureTransformer.fit(rows[["review"]], settings)
    shuffled = rows[["review"]].sample(frac=1, random_state=0).reset_index(drop=True)
    with threadpool_limits(1):
        second = FeatureTransformer.fit(shuffled, settings)
    pd.testing.assert_frame_equal(first.transform(rows), second.transform(rows))


def test_the_components_predict_what_the_words_tell(rows: pd.DataFrame) -> None:
    y = rows["review"].str.count("good").to_numpy() - rows["review"].str.count("awful").to_numpy()
    X = FeatureTransformer.fit(rows[["review"]], {"text": ["review"]}).transform(rows[["review"]])
    train, test = np.arange(N_ROWS) < 300, np.arange(N_ROWS) >= 300
    model = XGBRegressor(n_estimators=200, max_depth=3, learning_rate=0.1, n_jobs=1).fit(X[train], y[train])
    assert np.mean((model.predict(X[test]) - y[test]) ** 2) < 0.6 * np.var(y[test])


@pytest.mark.parametrize("texts", [["a b"] * 5, [None] * 5, ["", "", "", None, ""], ["one", "two", None, "one", "!"]])
def test_few_or_empty_texts_have_only_lengths(texts: list[str | None]) -> None:
    rows = pd.DataFrame({"review": pd.Series(texts, dtype="str")})
    transformer = FeatureTransformer.fit(rows, {"text": ["review"]})
    assert transformer.feature_names == ["review_characters", "review_words"]
    assert np.isfinite(transformer.transform(rows)).all(axis=None)


@pytest.mark.parametrize("key", ["target_encoding", "text"])
@pytest.mark.parametrize(("column", "problem"), [("usr", "'usr'"), ("size", "'size'")])
def test_other_columns_are_refused(rows: pd.DataFrame, key: str, column: str, problem: str) -> None:
    with pytest.raises(PipelineError, match=f"features.{key}.*{problem}"):
        fitted(rows, rows["size"].to_numpy(), {key: [column]}, ["y"])
