import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import PipelineError
from pipeline.features.kinds.interface import Target, feature_name
from pipeline.features.transformer import FEATURES_FILE, FeatureTransformer


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a[b]<c>": [1.0, 2.0, np.nan],
            "a b c": [1.0, 1.0, 1.0],
            "yes": [True, False, True],
            "place": ["<1H OCEAN", "INLAND", None],
        }
    )


def test_features_are_numeric_with_names_that_xgboost_accepts(rows: pd.DataFrame) -> None:
    transformer = FeatureTransformer.fit(rows, {"derived": {"ratio": "`a[b]<c>` / `a b c`"}})
    features = transformer.transform(rows)
    assert list(features.columns) == ["a_b_c", "a_b_c_2", "yes", "ratio", "place_1H_OCEAN", "place_INLAND"]
    assert list(features.columns) == transformer.feature_names
    assert transformer.numeric_names == ["a_b_c", "a_b_c_2", "ratio"]
    np.testing.assert_array_equal(features, [[1, 1, 1, 1, 1, 0], [2, 1, 0, 2, 0, 1], [np.nan, 1, 1, np.nan, 0, 0]])
    assert set(map(str, features.dtypes)) == {"float32"}


def test_an_unseen_or_missing_category_is_encoded_as_zeros(rows: pd.DataFrame) -> None:
    transformer = FeatureTransformer.fit(rows, {})
    new = rows.assign(place=["MOON", None, "INLAND"])[["place", "yes", "a b c", "a[b]<c>"]]
    np.testing.assert_array_equal(
        transformer.transform(new, only=["place_1H_OCEAN", "place_INLAND"]), [[0, 0], [0, 0], [0, 1]]
    )


def test_numeric_codes_match_categories_in_any_representation() -> None:
    transformer = FeatureTransformer.fit(pd.DataFrame({"zip": ["00501", "10001", None]}), {})
    for zips in (["10001", None], [10001, None], [10001.0, None], ["10001.0", "x"]):
        features = transformer.transform(pd.DataFrame({"zip": zips}))
        np.testing.assert_array_equal(features, [[0, 1], [0, 0]])
    np.testing.assert_array_equal(transformer.transform(pd.DataFrame({"zip": ["00501"]})), [[1, 0]])


def test_booleans_of_a_request_are_parsed_or_rejected() -> None:
    transformer = FeatureTransformer.fit(pd.DataFrame({"yes": [True, False]}), {})
    request = pd.DataFrame({"yes": [True, "False", "true", 0, None]}, dtype=object)
    np.testing.assert_array_equal(transformer.transform(request)["yes"], [1, 0, 1, 0, np.nan])
    np.testing.assert_array_equal(transformer.transform(pd.DataFrame({"yes": ["true", "0"]}))["yes"], [1, 0])
    with pytest.raises(ValueError, match="'yes' holds 'perhaps'"):
        transformer.transform(pd.DataFrame({"yes": ["perhaps", None]}, dtype=object))
    two_columns = FeatureTransformer.fit(pd.DataFrame({"yes": [True, False], "x": [1.0, 2.0]}), {})
    with pytest.raises(ValueError, match="'yes' holds 'perhaps'"):  # even if no requested feature uses the column
        two_columns.transform(pd.DataFrame({"yes": ["perhaps"], "x": [1.0]}), only=["x"])


def test_a_transformer_is_saved_as_json_and_arrays(rows: pd.DataFrame, tmp_path: Path) -> None:
    settings = {"derived": {"ratio": "`a[b]<c>` / `a b c`"}, "neighbors": {"k": 1, "by": ["ratio"], "means": []}}
    transformer = FeatureTransformer.fit(rows, settings)
    transformer = transformer.with_target(transformer.source(rows), Target(["y"], np.arange(3.0)), settings)
    for name, features, kept in (
        ("all", transformer.feature_names, transformer.feature_names),
        ("some", ["yes", "ratio"], transformer.feature_names[:-2]),  # neighbors are saved only if the model uses them
    ):
        folder = tmp_path / name
        folder.mkdir()
        stored = {"transformer": transformer.save(folder, features)}
        (folder / FEATURES_FILE).write_text(json.dumps(stored))
        assert list(stored["transformer"]) == ["kinds", "derived", "flux", "categories"]
        loaded = FeatureTransformer.load(folder)
        assert loaded.feature_names == kept
        pd.testing.assert_frame_equal(loaded.transform(rows), transformer.transform(rows, only=kept))


def test_feature_names_are_never_empty_or_repeated() -> None:
    assert feature_name("<>", "[]") == "feature"
    assert feature_name("größe", "€ 1") == "größe_1"
    rows = pd.DataFrame({"x": ["<", ">", "="], "x_2": [1.0, 2.0, 3.0]})
    assert FeatureTransformer.fit(rows, {}).feature_names == ["x_2", "x", "x_3", "x_4"]


def test_date_columns_are_rejected() -> None:
    with pytest.raises(PipelineError, match=r"column 'day' is of type datetime64"):
        FeatureTransformer.fit(pd.DataFrame({"day": pd.date_range("2026-01-01", periods=3)}), {})


def test_numbers_that_overflow_float32_are_missing() -> None:
    rows = pd.DataFrame({"size": [1.0, 2.0]})
    transformer = FeatureTransformer.fit(rows, {"derived": {"double": "2 * size"}})
    features = transformer.transform(pd.DataFrame({"size": [1e39, -np.inf, 3.0]}))
    assert features["size"].isna().tolist() == features["double"].isna().tolist() == [True, True, False]


@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.booleans(),
            st.none() | st.sampled_from(["INLAND", "10001", "10001.0", "10001.00", "", ".0", "elsewhere"]),
        ),
        min_size=1,
    )
)
def test_features_of_values_equal_those_of_a_table(values: list[tuple[Any, Any, Any]]) -> None:
    rows = pd.DataFrame({"size": [1.0, 2.5, -3.0], "garden": [True, False, True], "place": ["INLAND", "10001", ""]})
    settings = {
        "derived": {"root": "sqrt(size)", "both": "size * size"},
        "neighbors": {"k": 2, "by": ["size", "both"], "means": ["root"]},
    }
    transformer = FeatureTransformer.fit(rows, settings)
    transformer = transformer.with_target(transformer.source(rows), Target(["y"], np.arange(3.0)), settings)
    columns = dict(zip(rows.columns, map(list, zip(*values, strict=True)), strict=True))
    names = transformer.feature_names[::-1]
    table = pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in columns.items()})
    features = transformer.transform_values(columns, names)
    assert (features.dtype, features.flags.f_contiguous) == (np.float32, True)
    np.testing.assert_array_equal(features, transformer.transform(table.astype({"size": float}), only=names))
