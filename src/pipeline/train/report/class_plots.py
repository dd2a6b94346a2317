"""Plots and tables of a classification run: confusion matrix, ROC, precision-recall and calibration curves."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from pipeline.learn.metrics import Classes, expected_calibration_error, ranking_classes
from pipeline.train.report.canvas import canvas
from pipeline.train.report.plots import (
    BLUE,
    ORANGE,
    _format_number,
    _hide_spines,
    _sampled_rows,
    _tick,
    shorten,
)

Probabilities = NDArray[np.floating[Any]]
Counts = NDArray[np.int64]
Style = dict[str, Any]
Curve = tuple[NDArray[np.float64], NDArray[np.float64], float]  # x, y, and the area or average that summarizes them

GREY = "#a0aec0"
COLORS = (BLUE, ORANGE, "#2f855a", "#c53030", "#6b46c1", "#8b5e3c", "#d53f8c", "#4a5568", "#a3a614", "#319795")
SHADES = LinearSegmentedColormap.from_list("shades", ["white", BLUE])
LARGE_CELLS, CELLS, NAMES = 5, 30, 60  # maximum number of classes with large cells, cell texts, all names
NAME_LENGTH = 24
LEGEND_BELOW, LEGEND_BESIDE = 0.5, 0.2  # distance from the axes in inches
BINS, ROWS_PER_BIN = 10, 20  # of a calibration curve: maximum number, and minimum rows in each


class ClassifiedRows(NamedTuple):
    """Rows with their true classes and predicted probabilities, and the names of the classes."""

    y_true: Classes
    y_proba: Probabilities
    labels: Sequence[str]


def confusion_counts(y_true: Classes, y_pred: Classes, n_classes: int) -> Counts:
    """Return the confusion matrix, shape (n_classes, n_classes): actual classes in rows, predicted ones in columns."""
    from sklearn.metrics import confusion_matrix

    return np.asarray(confusion_matrix(y_true, y_pred, labels=range(n_classes)))


def confusion_json(counts: Counts, labels: Sequence[str]) -> dict[str, Any]:
    """Return a confusion matrix as JSON content."""
    return {"labels": list(labels), "counts": counts.tolist(), "rows": "actual", "columns": "predicted"}


def classification_report_text(y_true: Classes, y_pred: Classes, labels: Sequence[str]) -> str:
    """Return precision, recall, F1 and support of each class as a text table that ends with a newline."""
    from sklearn.metrics import classification_report

    names = [" ".join(label.split()) for label in labels]
    numbers = range(len(labels))
    return str(classification_report(y_true, y_pred, labels=numbers, target_names=names, digits=4, zero_division=0))


def confusion_matrix_plot(counts: Counts, labels: Sequence[str], run_name: str) -> Figure:
    """Return a plot of the confusion matrix, colored by the share of the actual class.

    Parameters
    ----------
    counts : array of int, shape (n_classes, n_classes)
        From `confusion_counts`.
    labels : sequence of str
    run_name : str
    """
    n, n_rows = len(labels), int(counts.sum())
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    step = math.ceil(n / NAMES)
    names = _names(labels)[::step]
    size, cell = (10, 1.0) if n <= LARGE_CELLS else (8, 0.52) if n <= CELLS else (7, 0.2 / step)
    side = max(3.2, n * cell)
    figure = canvas(side / 0.62, side / 0.77)  # the color bar takes a fifth of the width
    axes = figure.subplots()
    image = axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, format=PercentFormatter(1.0), shrink=0.7, label="share of the actual class")
    if n <= CELLS:
        for (row, column), count in np.ndenumerate(counts):
            axes.text(column, row, ha="center", va="center", **_cell(int(count), float(shares[row, column]), n))
    fits = max(map(len, names)) * 0.009 * size < cell
    axes.set_xticks(range(0, n, step), names, fontsize=size, rotation=0 if fits else 90)
    axes.set_yticks(range(0, n, step), names, fontsize=size)
    axes.tick_params(length=0)
    axes.spines[:].set_color(GREY)
    accuracy = np.trace(counts) / max(n_rows, 1)
    axes.set(title=f"{run_name}\n{n_rows:,} test rows, accuracy {accuracy:.1%}", xlabel="predicted", ylabel="actual")
    return figure


def _cell(count: int, share: float, n_classes: int) -> dict[str, Any]:
    """Return the text, color and font size of a cell."""
    large = n_classes <= LARGE_CELLS
    text = f"{count:,}" if large or count < 10_000 else _format_number(count)
    if count:
        text += f"\n{share:.1%}" if large else f"\n{share:.0%}"
    color = "white" if share > 0.8 else "black" if count else GREY
    return {"s": text, "color": color, "fontsize": 11 if large else 7}


def roc_curve_plot(y_true: Classes, y_proba: Probabilities, labels: Sequence[str], run_name: str) -> Figure:
    """Return a plot of the ROC curve of the positive class or, for multiclass, of each class.

    Parameters
    ----------
    y_true : array of int, shape (n_rows,)
    y_proba : array of float, shape (n_rows, n_classes)
    labels : sequence of str
    run_name : str
    """
    from sklearn.metrics import auc, roc_curve

    def curve(positive: NDArray[np.bool_], proba: Probabilities) -> Curve:
        false_rate, true_rate, _ = roc_curve(positive, proba)
        return false_rate, true_rate, float(auc(false_rate, true_rate))

    figure, axes = _square()
    aucs = _draw_curves(axes, curve, ClassifiedRows(y_true, y_proba, labels))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, zorder=1, label="0.5: chance")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title=_title(run_name, "area under ROC", aucs))
    _legend(figure, len(labels))
    return figure


def pr_curve_plot(y_true: Classes, y_proba: Probabilities, labels: Sequence[str], run_name: str) -> Figure:
    """Return a plot of the precision-recall curve of the positive class or, for multiclass, of each class.

    Parameters as in `roc_curve_plot`.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    def curve(positive: NDArray[np.bool_], proba: Probabilities) -> Curve:
        precision, recall, _ = precision_recall_curve(positive, proba, drop_intermediate=True)
        return recall, precision, float(average_precision_score(positive, proba))

    figure, axes = _square()
    averages = _draw_curves(axes, curve, ClassifiedRows(y_true, y_proba, labels), drawstyle="steps-post")
    if averages:
        rate = float(np.mean([np.mean(y_true == k) for k in ranking_classes(y_true, len(labels))]))
        name = "base rate" if len(labels) == 2 else "mean base rate"
        axes.axhline(rate, color=GREY, linestyle="--", linewidth=1, zorder=1, label=f"{rate:.3f}: {name}")
    axes.set(xlabel="recall", ylabel="precision", title=_title(run_name, "average precision", averages))
    _legend(figure, len(labels))
    return figure


def calibration_plot(y_true: Classes, y_proba: Probabilities, labels: Sequence[str], run_name: str) -> Figure:
    """Return a plot of the calibration curves, with a histogram of the predicted probabilities.

    Each point stands for an equal share of the rows. The upper axes end at the last point. Parameters as in
    `roc_curve_plot`.
    """
    from sklearn.calibration import calibration_curve

    n_classes, n_bins = len(labels), int(np.clip(len(y_true) // ROWS_PER_BIN, 2, BINS))
    figure = canvas(7.2, 8.8)
    curves, histogram = figure.subplots(2, 1, height_ratios=[3, 1])
    histogram.set_yscale("symlog", linthresh=1)  # makes bins with few rows visible
    curves.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, zorder=1)
    counts, end = np.bincount(y_true, minlength=n_classes), 0.001
    present = [1] if n_classes == 2 else np.flatnonzero(counts).tolist()
    for k, style, name in _styles(present, counts, labels):
        proba = np.clip(np.asarray(y_proba[:, k], dtype=np.float64), 0, 1)
        actual, predicted = calibration_curve(y_true == k, proba, pos_label=True, n_bins=n_bins, strategy="quantile")
        label = None if name is None else f"n = {counts[k]:,}: {name}"
        curves.plot(predicted, actual, marker="o", markersize=3.5, label=label, **style)
        heights, edges = np.histogram(proba, bins=50 if n_classes == 2 else 20, range=(0, 1))
        histogram.stairs(heights, edges, fill=n_classes == 2, **style)
        end = max(end, actual.max(), predicted.max())
    limits = (-0.02 * end, 1.02 * end)
    curves.set(xlim=limits, ylim=limits, xlabel="mean predicted probability", ylabel="observed share of the class")
    error = expected_calibration_error(y_true, y_proba)
    curves.set_title(f"{run_name}: calibration, {len(y_true):,} test rows\nexpected calibration error {error:.3f}")
    histogram.set(xlim=(-0.01, 1.01), xlabel="predicted probability", ylabel="rows")
    histogram.yaxis.set_major_formatter(_tick)
    _hide_spines(curves, histogram)
    _legend(figure, n_classes)
    return figure


def _square() -> tuple[Figure, Axes]:
    figure = canvas(6.7, 6.7)
    axes = figure.subplots()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    _hide_spines(axes)
    return figure, axes


def _draw_curves(
    axes: Axes,
    curve: Callable[[NDArray[np.bool_], Probabilities], Curve],
    rows: ClassifiedRows,
    drawstyle: str = "default",
) -> list[float]:
    """Draw one curve for each class, and return their summary numbers."""
    numbers, n_classes = [], len(rows.labels)
    counts = np.bincount(rows.y_true, minlength=n_classes)
    for k, style, name in _styles(ranking_classes(rows.y_true, n_classes), counts, rows.labels):
        x, y, number = curve(rows.y_true == k, rows.y_proba[:, k])
        drawn = _sampled_rows(len(x))
        label = None if name is None else f"{number:.3f}: {name}"
        axes.plot(x[drawn], y[drawn], drawstyle=drawstyle, label=label, **style)
        numbers.append(number)
    return numbers


def _styles(classes: Sequence[int], counts: Counts, labels: Sequence[str]) -> Iterator[tuple[int, Style, str | None]]:
    """Yield each class with a line style and name; only the most frequent have a color and name, and come last."""
    names, ranked = _names(labels), sorted(classes, key=lambda k: -counts[k])
    for k in ranked[len(COLORS) :]:
        yield k, {"color": GREY, "linewidth": 0.6}, None
    for k, color in zip(sorted(ranked[: len(COLORS)]), COLORS, strict=False):
        yield k, {"color": color, "linewidth": 1.5}, names[k]


def _title(run_name: str, name: str, numbers: Sequence[float]) -> str:
    if not numbers:
        return f"{run_name}: test rows of one class alone"
    return f"{run_name}: {'mean ' if len(numbers) > 1 else ''}{name} {np.mean(numbers):.3f}"


def _legend(figure: Figure, n_classes: int) -> None:
    if not figure.axes[0].get_legend_handles_labels()[0]:
        return
    width, height = figure.get_size_inches()
    top, bottom = figure.axes[0].get_position(), figure.axes[-1].get_position()
    if n_classes == 2:
        below = (bottom.x0 + bottom.x1) / 2, bottom.y0 - LEGEND_BELOW / height
        figure.legend(loc="upper center", bbox_to_anchor=below, ncols=2, frameon=False)
    else:
        title = f"most frequent of {n_classes} classes" if n_classes > len(COLORS) else None
        beside = top.x1 + LEGEND_BESIDE / width, top.y1
        figure.legend(loc="upper left", bbox_to_anchor=beside, frameon=False, title=title, alignment="left")


def _names(labels: Sequence[str]) -> list[str]:
    """Return shortened class names, prefixed with class numbers if some would be equal."""
    names = [_short_label(label) for label in labels]
    return names if len(set(names)) == len(names) else [f"{k} {name}" for k, name in enumerate(names)]


def _short_label(label: str) -> str:
    text = " ".join(label.split())
    if len(text) > NAME_LENGTH:  # cut in the middle, because long names often differ at the end
        text = f"{text[: NAME_LENGTH // 2]}…{text[-(NAME_LENGTH // 2 - 1) :]}"
    return shorten(text)
