"""Features of ordered categories and of lists of words."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from xgboost import XGBRegressor

from pipeline.errors import NotConvertible, PipelineError
from pipeline.features.transformer import FEATURES_FILE, FeatureTransformer
from pipeline.onnx.features import input_feed
from pipeline.onnx.model import to_onnx
from pipeline.onnx.session import open_session

ROWS = pd.DataFrame(
    {
        "size": ["small", "large", None, "medium", "huge"] * 40,
        "stars": pd.Series(["1", "2", "3", "2", "1"] * 40),
        "genres": ["Comedy|Drama", "Drama", None, "War| Drama|", "Comedy|Rare"] * 40,
    }
)
SETTINGS = {
    "ordered": {"size": ["small", "medium", "large"], "stars": ["1", "2", "3"]},
    "lists": {"genres": "|"},
}


def test_order_and_words_are_features(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows.loc[rows.index[9:], "genres"] = rows["genres"][9:].replace("Comedy|Rare", "Comedy")
    transformer = FeatureTransformer.fit(rows, SETTINGS)
    added = ["size_order", "stars_order", "genres_Drama", "genres_Comedy", "genres_War", "genres_number_of_words"]
    assert transformer.feature_names[-6:] == added
    assert transformer.known_categories.keys() == {"size", "stars"}
    assert {"size_small", "stars_1"} <= set(transformer.feature_names)
    assert transformer.numeric_names == ["size_order", "stars_order", "genres_number_of_words"]
    assert transformer.raw_columns["genres_War"] == ["genres"]
    features = transformer.transform(rows)
    expected = [
        [0, 2, np.nan, 1, np.nan],
        [0, 1, 2, 1, 0],
        [1, 1, 0, 1, 0],
        [1, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [2, 1, 0, 2, 2],
    ]
    np.testing.assert_array_equal(features[added].head().T, np.array(expected, dtype=np.float32))
    new = pd.DataFrame({"size": ["tiny", "large"], "stars": ["2.0", "9"], "genres": ["Rare|Other", "War|War"]})
    np.testing.assert_array_equal(
        transformer.transform(new)[added],
        np.array([[np.nan, 1, 0, 0, 0, 2], [2, np.nan, 0, 0, 1, 1]], dtype=np.float32),
    )

    saved = {"transformer": transformer.save(tmp_path, transformer.feature_names)}
    (tmp_path / FEATURES_FILE).write_text(json.dumps(saved), encoding="utf-8")
    pd.testing.assert_frame_equal(FeatureTransformer.load(tmp_path).transform(rows), features)


def test_words_are_features_if_enough_rows_have_them() -> None:
    words = [f"w{number}" for number in range(40)]
    lists = [";".join(words[: 1 + row % 40]) for row in range(800)]  # w0 is in all rows, w39 in 20
    names = FeatureTransformer.fit(pd.DataFrame({"words": lists}), {"lists": {"words": ";"}}).feature_names
    assert names == [*(f"words_w{number}" for number in range(30)), "words_number_of_words"]
    few = pd.DataFrame({"words": ["a;b"] * 4 + ["c"] * 5 + ["d"] * 991})
    names = FeatureTransformer.fit(few, {"lists": {"words": ";"}}).feature_names
    assert names == ["words_d", "words_number_of_words"]


def test_an_order_is_in_the_onnx_graph_and_a_list_is_not() -> None:
    transformer = FeatureTransformer.fit(ROWS, SETTINGS)
    X = transformer.transform(ROWS)
    y = X["size_order"].fillna(7) + X["stars_order"] / 3
    names = ["size_order", "stars_order", "stars_2"]
    model = XGBRegressor(n_estimators=20).fit(X[names], y)
    session = open_session(to_onnx(transformer, names, model, None).SerializeToString())
    new = ROWS.head().assign(stars=["2.0", "9", None, "1", "3"])
    expected = model.predict(transformer.transform(new)[names])
    actual = np.ravel(session.run(None, input_feed(new, transformer))[0])
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    model = XGBRegressor(n_estimators=2).fit(X[["genres_War"]], y)
    with pytest.raises(NotConvertible, match="features of kind lists"):
        to_onnx(transformer, ["genres_War"], model, None)


@pytest.mark.parametrize("key", ["ordered", "lists"])
def test_numeric_columns_are_refused(key: str) -> None:
    value = {"ordered": ["1", "2"], "lists": "|"}[key]
    with pytest.raises(PipelineError, match=rf"(?s)features.{key} .* 'n', a number column; it must be text"):
        FeatureTransformer.fit(pd.DataFrame({"n": [1.0, 2.0]}), {key: {"n": value}})


def test_an_order_of_other_categories_is_refused() -> None:
    with pytest.raises(PipelineError, match=r"(?s)'size' has none of the categories.*small, large, medium"):
        FeatureTransformer.fit(ROWS, {"ordered": {"size": ["S", "M", "L"]}})
