"""A new kind of feature needs one class and no other change: the tests add two."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from xgboost import XGBRegressor

from pipeline.errors import NotConvertible
from pipeline.features import kinds
from pipeline.features.kinds.interface import Feature, FeatureKind, RawColumns, Target, TrainingRows, feature_name
from pipeline.features.out_of_fold import OutOfFold
from pipeline.features.source import Source
from pipeline.features.transformer import FEATURES_FILE, FeatureTransformer
from pipeline.onnx.model import to_onnx

ROWS = pd.DataFrame(
    {"size": [1.0, np.nan, 3.0, 4.0], "note": ["a", "some words", None, ""], "place": ["x", "y", "x", "x"]}
)
Y = np.array([10.0, 20.0, 30.0, 40.0])


@dataclass(frozen=True, eq=False)
class TextLength(FeatureKind):
    """Text length relative to the longest training text, for columns that are then not one-hot encoded."""

    key: ClassVar[str] = "text_length"
    longest: dict[str, int]

    @classmethod
    def claims(cls, kinds: Mapping[str, Any], settings: Iterable[str] | None) -> list[str]:
        return list(settings or ())

    @classmethod
    def fit(cls, training: TrainingRows, settings: list[str] | None) -> Self | None:
        texts = {name: training.source.texts(name).distinct for name in settings or ()}
        return cls({name: max(map(len, distinct), default=0) for name, distinct in texts.items()}) if texts else None

    @classmethod
    def restore(cls, columns: RawColumns, state: dict[str, int] | None, arrays: Mapping[str, Any]) -> Self | None:
        return cls(state) if state else None

    def state(self) -> dict[str, int]:
        return self.longest

    @property
    def features(self) -> list[Feature]:
        return [Feature(feature_name(name, "length"), [name]) for name in self.longest]

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        for name, longest in [list(self.longest.items())[index] for index in indices]:
            texts = source.texts(name)
            yield texts.look_up([len(text) / longest for text in texts.distinct], missing=np.nan)


@dataclass(frozen=True, eq=False)
class TargetMeans(FeatureKind):
    """The mean target of each category of a text column."""

    key: ClassVar[str] = "target_means"
    sees_target: ClassVar[bool] = True
    column: str
    means: dict[str, float]

    @classmethod
    def fit(cls, training: TrainingRows, settings: str | None) -> Self | None:
        if settings is None:
            return None
        assert training.target is not None
        texts = training.source.texts(settings)
        masks = [(text, texts.codes == code) for code, text in enumerate(texts.distinct)]
        return cls(settings, {text: float(training.target.values[mask].mean()) for text, mask in masks if mask.any()})

    @classmethod
    def restore(cls, columns: RawColumns, state: Any, arrays: Mapping[str, Any]) -> Self | None:
        return cls(**state) if state else None

    def state(self) -> dict[str, Any]:
        return {"column": self.column, "means": self.means}

    @property
    def features(self) -> list[Feature]:
        return [Feature(feature_name("mean of", self.column), [self.column])]

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        texts = source.texts(self.column)
        return [texts.look_up([self.means.get(text, np.nan) for text in texts.distinct], missing=np.nan)]


@pytest.fixture(autouse=True)
def register_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, TextLength, TargetMeans))


def save_and_load(transformer: FeatureTransformer, folder: Path) -> FeatureTransformer:
    """Return a copy of a transformer, saved to a folder and loaded again."""
    saved = {"transformer": transformer.save(folder, transformer.feature_names)}
    (folder / FEATURES_FILE).write_text(json.dumps(saved), encoding="utf-8")
    return FeatureTransformer.load(folder)


def test_a_new_kind_is_fitted_computed_stored_and_rejected_in_onnx(tmp_path: Path) -> None:
    transformer = FeatureTransformer.fit(ROWS, {"text_length": ["note"]})
    assert transformer.feature_names == ["size", "place_x", "place_y", "note_length"]
    assert transformer.numeric_names == ["size", "note_length"]
    assert transformer.raw_columns["note_length"] == ["note"]
    features = transformer.transform(ROWS)
    np.testing.assert_array_equal(features["note_length"], np.array([0.1, 1, np.nan, 0], dtype=np.float32))
    values = {name: [None if pd.isna(value) else value for value in ROWS[name]] for name in ROWS}
    np.testing.assert_array_equal(transformer.transform_values(values, transformer.feature_names), features)

    loaded = save_and_load(transformer, tmp_path)
    assert loaded.raw_columns == transformer.raw_columns
    pd.testing.assert_frame_equal(loaded.transform(ROWS), features)

    model = XGBRegressor(n_estimators=1, n_jobs=1).fit(features, Y)
    with pytest.raises(NotConvertible, match="features of kind text_length have no counterpart in ONNX"):
        to_onnx(transformer, transformer.feature_names, model, None)
    to_onnx(transformer, ["size"], model.fit(features[["size"]], Y), None)


def test_a_new_kind_that_sees_the_target_is_fitted_out_of_fold(tmp_path: Path) -> None:
    settings = {"target_means": "place"}
    assert kinds.target_kinds(settings) == ["target_means"]
    before = FeatureTransformer.fit(ROWS, settings)
    source, target = before.source(ROWS), Target(["y"], Y)
    transformer = before.with_target(source, target, settings)
    assert transformer.target_names == ["mean_of_place"]
    in_fold = transformer.transform(ROWS, only=["mean_of_place"])
    np.testing.assert_allclose(in_fold["mean_of_place"], [80 / 3, 20, 80 / 3, 80 / 3])
    folds = [(np.array([2, 3]), np.array([0, 1])), (np.array([0, 1]), np.array([2]))]
    out_of_fold = OutOfFold.fit(transformer, source, target, settings, folds, np.arange(len(Y)), len(Y))
    features = out_of_fold.compute(source, out_of_fold.folds, transformer.target_names)
    # Row 1: its category is in no row of the other fold. Row 3: it is in no fold.
    np.testing.assert_array_equal(features[:, 0], [35, np.nan, 10, np.nan])
    pd.testing.assert_frame_equal(save_and_load(transformer, tmp_path).transform(ROWS), transformer.transform(ROWS))


def test_every_feature_names_its_raw_columns_and_unknown_features_are_rejected() -> None:
    rows = pd.DataFrame({f"FLUX.{point}": [1.0, 2.0] for point in range(3)} | {"a": [1.0, 2.0], "b": ["x", "y"]})
    settings = {
        "derived": {"root": "sqrt(a)"},
        "flux": True,
        "neighbors": {"k": 1, "by": ["root"], "means": ["a"]},
    }
    transformer = FeatureTransformer.fit(rows, settings)
    transformer = transformer.with_target(transformer.source(rows), Target(["y"], Y[:2]), settings)
    columns = transformer.raw_columns
    assert list(columns) == transformer.feature_names
    assert columns["flux_std"] == ["FLUX.0", "FLUX.1", "FLUX.2"]
    for name in ("a", "root", "neighbors_y", "neighbors_a", "neighbors_distance"):
        assert columns[name] == ["a"]
    assert columns["b_x"] == ["b"]
    assert transformer.known_categories == {"b": ["x", "y"]}
    assert transformer.run_params == {"flux_features_extracted": 40}
    with pytest.raises(KeyError, match="FLUX"):
        transformer.transform(rows, only=["FLUX.0"])
