"""A beeswarm plot of SHAP values that looks like that of shap, without importing shap and pyplot."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.train.report.canvas import canvas
from pipeline.train.report.plots import SHOWN_FEATURES, Explanation, _tick, shorten

DARK, MISSING = "#333333", "#777777"
# The colors of shap's plots, from low to high.
RED_BLUE = LinearSegmentedColormap.from_list(
    "red_blue",
    [
        "#008bfb",
        "#007ff6",
        "#0072ef",
        "#4b63e3",
        "#6f52d4",
        "#883fc2",
        "#9c23ad",
        "#b605a2",
        "#cd0095",
        "#e00085",
        "#ef0075",
        "#fb0063",
        "#ff0051",
    ],
    bad=MISSING,
)
SWARM_BINS = 100


def shap_summary_plot(explanation: Explanation, run_name: str) -> Figure:
    """Return a beeswarm plot of each feature's SHAP values, colored by the feature's value.

    It looks like that of ``shap.plots.beeswarm``. For multiclass, it shows the last class, which the axis names.
    """
    X, values = explanation.X, explanation.values
    values = values if values.ndim == 2 else values[:, :, -1]
    names, sizes = [shorten(name) for name in X.columns], np.abs(values).mean(axis=0)
    order = np.argsort(-sizes, kind="stable")
    shown, rest = order[:SHOWN_FEATURES], order[SHOWN_FEATURES - 1 :]
    if len(order) > SHOWN_FEATURES:  # the last row is the sum of all remaining features
        values = values.copy()
        values[:, shown[-1]] = values[:, rest].sum(axis=1)
        names[shown[-1]] = f"Sum of {len(rest)} other features"
    shown = shown[::-1]  # the largest on top
    figure = canvas(7.6, 1.8 + 0.36 * len(shown))
    axes, bar = figure.subplots(1, 2, width_ratios=[1, 0.0125], gridspec_kw={"wspace": 0.05})
    heights = [position + _swarm(values[:, feature]) for position, feature in enumerate(shown)]
    shades = [_shades(X.iloc[:, feature].to_numpy(np.float64)) for feature in shown]
    axes.scatter(
        values[:, shown].T.ravel(),
        np.concatenate(heights),
        c=RED_BLUE(np.concatenate(shades)),
        s=16,
        linewidths=0,
        zorder=3,
    )
    axes.axvline(0, color="#999999", zorder=-1)
    for position in range(len(shown)):
        axes.axhline(position, color="#cccccc", linewidth=0.5, dashes=(1, 5), zorder=-1)
    axes.set_yticks(range(len(shown)), [names[feature] for feature in shown])
    axes.set_ylim(-1, len(shown))
    axes.tick_params(color=DARK, labelcolor=DARK)
    axes.tick_params("y", length=20, width=0)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter(_tick)
    axes.set_title(f"{run_name}: what moves a prediction, {len(X):,} rows")
    axes.set_xlabel(f"SHAP value: effect on the prediction, {explanation.unit_of_last}")
    bar.imshow(np.linspace(1, 0, 256)[:, np.newaxis], cmap=RED_BLUE, aspect="auto", extent=(0, 1, 0, 1))
    bar.set_xticks([])
    bar.set_yticks([0, 1], ["Low", "High"], fontsize=11)
    bar.yaxis.tick_right()
    bar.tick_params(length=0)
    bar.set_ylabel("Feature value", fontsize=12)
    bar.yaxis.set_label_position("right")
    bar.spines[:].set_visible(False)
    return figure


def _swarm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the vertical offsets of a feature's points: those of nearly equal values lie beside each other."""
    span = float(np.ptp(values)) + 1e-8
    bins = np.round(SWARM_BINS * (values - values.min()) / span).astype(int)
    order = np.argsort(bins, kind="stable")
    counts = np.bincount(bins)
    layers = np.empty(len(values))
    layers[order] = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    offsets = np.ceil(layers / 2) * (layers % 2 * 2 - 1)  # 0, 1, -1, 2, -2, … from the middle
    return np.asarray(offsets * 0.36 / (offsets.max() + 1))


def _shades(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a feature's values as shares of the range from its 5th to its 95th percentile; NaN for missing values."""
    known = values[np.isfinite(values)]
    if not len(known):
        return np.full(len(values), np.nan)
    low, high = np.percentile(known, [5, 95])
    if low == high:
        low, high = known.min(), known.max()
    return np.clip((values - low) / (high - low), 0, 1) if low < high else np.where(np.isnan(values), np.nan, 0.0)
