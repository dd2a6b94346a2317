"""Plots of any run: nothing is cut, missing values and constant features are drawn, and the bytes are reproducible."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.train.report.beeswarm import shap_summary_plot
from pipeline.train.report.canvas import DPI, MARGIN, png
from pipeline.train.report.plots import Explanation, importance_plot


def pixels(content: bytes) -> np.ndarray:
    with Image.open(BytesIO(content)) as image:
        return np.asarray(image.convert("L"))


def explanation(n_features: int, n_classes: int = 0) -> Explanation:
    rng = np.random.default_rng(0)
    shape = (60, n_features, n_classes) if n_classes else (60, n_features)
    X = pd.DataFrame(rng.normal(size=(60, n_features)), columns=[f"feature {k}" for k in range(n_features)])
    return Explanation(X, rng.normal(size=shape), "u", "u")


@pytest.mark.parametrize("name", ["short", "W" * 200, "W" * 35 + "$", "ÄÖÜ" * 12])
def test_no_label_is_cut(name: str) -> None:
    drawn = pixels(png(importance_plot({name: 2.0, "b": 1.0}, "gain", "exp1_tuned")))
    margin = round(MARGIN * DPI) - 5
    for edge in (drawn[:margin], drawn[-margin:], drawn[:, :margin], drawn[:, -margin:]):
        assert edge.min() == 255


def test_a_title_beyond_the_canvas_is_not_cut() -> None:
    drawn = pixels(png(importance_plot({"a": 2.0}, "gain", "run" * 90)))
    assert drawn.shape[1] > 20 * DPI
    assert drawn[:, :5].min() == drawn[:, -5:].min() == 255


@pytest.mark.parametrize(("n_features", "n_classes"), [(1, 0), (4, 3), (30, 0)])
def test_beeswarm_shows_the_features_by_size(n_features: int, n_classes: int) -> None:
    explained = explanation(n_features, n_classes)
    figure = shap_summary_plot(explained, "exp1_tuned")
    values = explained.values[:, :, -1] if n_classes else explained.values
    order = np.argsort(-np.abs(values).mean(axis=0))
    names = [f"feature {k}" for k in order]
    if n_features > 20:
        names = [*names[:19], f"Sum of {n_features - 19} other features"]
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == names[::-1]
    points = axes.collections[0].get_offsets()
    assert len(points) == 60 * len(names)
    if n_features <= 20:
        assert np.allclose(points[-60:, 0], values[:, order[0]])
    assert np.abs(points[:, 1] - np.round(points[:, 1])).max() < 0.4
    assert png(figure) == png(shap_summary_plot(explained, "exp1_tuned"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("column", [[np.nan] * 60, [1.0] * 60, [np.nan, 1.0] * 30, [0.0] * 59 + [1.0]])
def test_beeswarm_of_missing_and_constant_values(column: list[float]) -> None:
    explained = explanation(2)
    explained.X["feature 0"] = column
    explained.values[:, 1] = 0
    assert pixels(png(shap_summary_plot(explained, "exp1_tuned"))).min() < 100
