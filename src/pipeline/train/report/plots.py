"""Plots of an experiment run, each a figure to save as PNG."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter
from numpy.typing import NDArray

from pipeline.learn.cross_validation import CrossValidation
from pipeline.train.report.canvas import canvas

DRAWN_ROWS = 5000  # maximum number of points in a plot
SHOWN_FEATURES = 20
LABEL_LENGTH = 36
BLUE, ORANGE = "#2b6cb0", "#dd6b20"
ONE_DIGIT, SHORTEST = EngFormatter(sep="", places=1), EngFormatter(sep="")  # thousands as k, millions as M

IMPORTANCE_TITLES = {
    "weight": ("splits that use a feature", "number of splits"),
    "impurity": ("mean decrease of impurity by a feature's splits", "share of the sum over features"),
    "permutation": ("loss that shuffling a feature adds", "share of the sum over features"),
    "gain": ("average gain of a feature's splits", "share of the sum over features"),
    "cover": ("average number of rows in a feature's splits", "share of the sum over features"),
    "total_gain": ("gain of all of a feature's splits", "share of the sum over features"),
}


@dataclass(frozen=True)
class Explanation:
    """SHAP values of some rows.

    Attributes
    ----------
    X : DataFrame, shape (n_rows, n_features)
    values : array of float, shape (n_rows, n_features) or (n_rows, n_features, n_classes)
    unit, unit_of_last : str
        Units of the mean over all classes, and of the last class.
    """

    X: pd.DataFrame
    values: NDArray[np.float64]
    unit: str
    unit_of_last: str


def importance_plot(importance: dict[str, float], kind: str, run_name: str) -> Figure:
    """Return a bar chart of the most important features by `kind`, a measure of the model family."""
    title, label = IMPORTANCE_TITLES.get(kind, (f"importance by {kind}", "share of the sum over features"))
    title = f"{run_name}: {title}"
    if kind == "weight":
        return _bars(importance, title, label, "{:,.0f}".format)
    total = sum(importance.values()) or 1.0
    return _bars({name: value / total for name, value in importance.items()}, title, label, _percent)


def shap_importance_plot(explanation: Explanation, run_name: str) -> Figure:
    """Return a bar chart of each feature's mean absolute SHAP value over rows and, for multiclass, classes."""
    means = np.abs(explanation.values).mean(axis=0)
    means = means if means.ndim == 1 else means.mean(axis=1)
    title = f"{run_name}: mean effect on a prediction, {len(explanation.values):,} rows"
    values = dict(zip(explanation.X.columns, map(float, means), strict=True))
    return _bars(values, title, f"mean absolute SHAP value, {explanation.unit}", _format_number)


def _bars(values: dict[str, float], title: str, label: str, number_format: Callable[[float], str]) -> Figure:
    """Return a chart of the largest values as horizontal bars, the largest on top."""
    ranked = sorted(values.items(), key=lambda item: -item[1])
    top = ranked[:SHOWN_FEATURES][::-1]
    figure = canvas(8, 1.4 + 0.32 * len(top))
    axes = figure.subplots()
    bars = axes.barh(range(len(top)), [value for _, value in top], color=BLUE)
    axes.set_yticks(range(len(top)), [shorten(name) for name, _ in top])
    axes.bar_label(bars, fmt=number_format, padding=3, fontsize=8)
    axes.margins(x=0.12)
    if len(ranked) > len(top):
        title += f" (top {len(top)} of {len(ranked)})"
    axes.set(title=title, xlabel=label)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0) if number_format is _percent else _tick)
    _hide_spines(axes)
    return figure


def predicted_vs_actual_plot(
    y_true: NDArray[np.float64], y_pred: NDArray[np.float64], target: str, run_name: str
) -> Figure:
    """Return a scatter plot of predicted against actual values of test rows, with the line of equality."""
    figure = canvas(6.4, 6)
    axes = figure.subplots()
    low, high = float(min(y_true.min(), y_pred.min())), float(max(y_true.max(), y_pred.max()))
    axes.plot([low, high], [low, high], color=ORANGE, linewidth=1.2, label="predicted = actual")
    drawn = _sampled_rows(len(y_true))
    axes.scatter(y_true[drawn], y_pred[drawn], s=7, alpha=_alpha(len(drawn)), color=BLUE, linewidths=0, rasterized=True)
    axes.set(title=f"{run_name}: {shorten(target)} of {len(drawn):,} test rows", xlabel="actual", ylabel="predicted")
    axes.legend(loc="upper left", frameon=False)
    axes.set_aspect("equal")
    axes.xaxis.set_major_formatter(_tick)
    axes.yaxis.set_major_formatter(_tick)
    _hide_spines(axes)
    return figure


def residuals_plot(y_true: NDArray[np.float64], y_pred: NDArray[np.float64], target: str, run_name: str) -> Figure:
    """Return a plot of residuals (actual minus predicted) of test rows against predictions, with their histogram."""
    residuals = y_true - y_pred
    figure = canvas(9, 4.6)
    scatter, histogram = figure.subplots(1, 2, width_ratios=[2.2, 1], sharey=True)
    drawn = _sampled_rows(len(y_true))
    scatter.scatter(
        y_pred[drawn], residuals[drawn], s=7, alpha=_alpha(len(drawn)), color=BLUE, linewidths=0, rasterized=True
    )
    scatter.axhline(0, color=ORANGE, linewidth=1.2)
    scatter.set(
        title=f"{run_name}: residuals of {len(drawn):,} test rows",
        xlabel="predicted",
        ylabel=f"{shorten(target)}: actual − predicted",
    )
    histogram.hist(residuals, bins=50, orientation="horizontal", color=BLUE)
    histogram.axhline(0, color=ORANGE, linewidth=1.2)
    rmse, bias = float(np.sqrt(np.mean(residuals**2))), float(residuals.mean())
    histogram.set(
        title=f"RMSE {_format_number(rmse)}\nmean {_format_number(bias)}", xlabel=f"all {len(y_true):,} test rows"
    )
    scatter.xaxis.set_major_formatter(_tick)
    scatter.yaxis.set_major_formatter(_tick)
    histogram.xaxis.set_major_formatter(_tick)
    _hide_spines(scatter, histogram)
    return figure


def learning_curve_plot(scores: CrossValidation, run_name: str, rounds: str, loss: str) -> Figure:
    """Return a plot of the folds' scores after each round: the mean, plus and minus one standard deviation.

    Parameters
    ----------
    scores : CrossValidation
    run_name : str
    rounds : str
        Label of the horizontal axis, such as "boosting rounds".
    loss : str
        ``rmse`` or ``log_loss``.
    """
    figure = canvas(8, 4.6)
    axes = figure.subplots()
    for curves, name, color in ((scores.train_curves, "training", ORANGE), (scores.valid_curves, "validation", BLUE)):
        values = np.array(curves)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        axes.plot(scores.rounds, mean, color=color, label=f"{name} folds")
        axes.fill_between(scores.rounds, mean - deviation, mean + deviation, color=color, alpha=0.25, linewidth=0)
    axes.set(
        title=f"{run_name}: learning curve, mean of {len(scores.valid_curves)} folds ± one deviation",
        xlabel=rounds,
        ylabel={"rmse": "RMSE", "log_loss": "log loss"}[loss],
    )
    axes.yaxis.set_major_formatter(_tick)
    # Cut off the steep first rounds, so that the rounds where the curves part are visible.
    last, lowest = np.mean(scores.valid_curves, axis=0)[-1], np.min(np.mean(scores.train_curves, axis=0))
    bottom, top = 0.9 * lowest, min(2 * last, axes.get_ylim()[1])
    if bottom < top:  # equal for a constant target
        axes.set_ylim(bottom, top)
    axes.legend(frameon=False)
    _hide_spines(axes)
    return figure


def shorten(name: str) -> str:
    """Return a name for a plot label, shortened and with ``$`` escaped."""
    short = name if len(name) <= LABEL_LENGTH else name[: LABEL_LENGTH - 1] + "…"
    return short.replace("$", r"\$")


def _sampled_rows(n_rows: int) -> NDArray[np.intp]:
    """Return the positions of at most `DRAWN_ROWS` evenly spaced rows to draw."""
    return np.linspace(0, n_rows - 1, min(n_rows, DRAWN_ROWS)).astype(np.intp)


def _alpha(n_rows: int) -> float:
    return float(np.clip(1200 / max(n_rows, 1), 0.25, 0.8))


def _format_number(value: float) -> str:
    """Return a number with about three digits, thousands as k and millions as M."""
    return str(ONE_DIGIT(value)) if abs(value) >= 1000 else f"{value:.3g}".replace("-", "−")


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _tick(value: float, _: object) -> str:
    return str(SHORTEST(value)) if abs(value) >= 1000 else f"{value:g}".replace("-", "−")


def _hide_spines(*all_axes: object) -> None:
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)  # type: ignore[attr-defined]
