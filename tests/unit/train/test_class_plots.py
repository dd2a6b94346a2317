"""Plots and tables of a classification run: correct numbers, reproducible bytes, any class names and rows."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from pipeline.learn.metrics import classification_metrics
from pipeline.train.report.canvas import png
from pipeline.train.report.class_plots import (
    calibration_plot,
    classification_report_text,
    confusion_counts,
    confusion_json,
    confusion_matrix_plot,
    pr_curve_plot,
    roc_curve_plot,
)
from support.effort import THOROUGH

CURVES = [roc_curve_plot, pr_curve_plot, calibration_plot]
UNUSUAL_LABELS = ["_private", "5 $ to 10 $", "$x_1$", "Größe ≥ 3 °C", "two\nlines", "", "x" * 60]


def probabilities(n_rows, n_classes, seed=0):
    """Return random classes and informative float32 probabilities."""
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, n_classes, n_rows)
    scores = rng.normal(size=(n_rows, n_classes)) + 1.5 * np.eye(n_classes)[y_true]
    return y_true, (np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)).astype(np.float32)


def confusion(y_true, y_proba, labels, run_name):
    """Return a confusion matrix plot from the parameters of the other plots."""
    return confusion_matrix_plot(confusion_counts(y_true, y_proba.argmax(axis=1), len(labels)), labels, run_name)


def legend_texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_confusion_counts_and_json():
    counts = confusion_counts(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0]), 3)
    assert counts.tolist() == [[1, 1, 0], [1, 2, 0], [0, 0, 0]]
    content = json.loads(json.dumps(confusion_json(counts, ["a", "b", "c"])))
    assert content == {
        "labels": ["a", "b", "c"],
        "counts": [[1, 1, 0], [1, 2, 0], [0, 0, 0]],
        "rows": "actual",
        "columns": "predicted",
    }


def test_the_report_names_every_class_even_without_rows():
    text = classification_report_text(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ["no", "yes", "two\nlines"])
    assert text.endswith("\n")
    rows = {line[:12].strip(): line[12:].split() for line in text.splitlines()}
    assert rows["no"] == ["1.0000", "0.5000", "0.6667", "2"]
    assert rows["yes"] == ["0.6667", "1.0000", "0.8000", "2"]
    assert rows["two lines"] == ["0.0000", "0.0000", "0.0000", "0"]
    assert rows["accuracy"] == ["0.7500", "4"]


@pytest.mark.parametrize("n_classes", [2, 3, 12, 40] if THOROUGH else [2, 12])
@pytest.mark.parametrize("draw", [confusion, *CURVES])
def test_plots_are_reproducible(draw, n_classes):
    y_true, y_proba = probabilities(400, n_classes)
    labels = [f"class {k}" for k in range(n_classes)]
    first = png(draw(y_true, y_proba, labels, "exp1_tuned"))
    assert first == png(draw(y_true, y_proba, labels, "exp1_tuned"))
    with Image.open(BytesIO(first)) as image:
        image.load()
        assert image.format == "PNG"
        assert min(image.size) > 400


@pytest.mark.parametrize("draw", [confusion, *CURVES])
def test_unusual_labels_are_drawn(draw):
    y_true, y_proba = probabilities(200, len(UNUSUAL_LABELS))
    png(draw(y_true, y_proba, UNUSUAL_LABELS, "exp1_tuned"))
    png(draw(y_true % 2, probabilities(200, 2)[1], UNUSUAL_LABELS[:2], "exp1_tuned"))


def test_legends_name_all_classes():
    y_true, y_proba = probabilities(200, len(UNUSUAL_LABELS))
    for draw in CURVES:
        texts = legend_texts(draw(y_true, y_proba, UNUSUAL_LABELS, "exp1_tuned"))
        assert len(texts) - (draw is not calibration_plot) == len(UNUSUAL_LABELS)  # the others also have a baseline
        named = " ".join(texts)
        for text in ("_private", r"5 \$ to 10 \$", r"\$x_1\$", "Größe ≥ 3 °C", "two lines", "xxx…xxx"):
            assert text in named


@pytest.mark.parametrize("draw", [confusion, *CURVES])
@pytest.mark.parametrize(
    ("y_true", "n_classes"), [([0, 1], 2), ([0, 0], 2), ([1, 1], 2), ([1, 1], 3), ([0, 2], 3), ([0, 2, 2, 0], 12)]
)
def test_few_rows_and_absent_classes_are_drawn(draw, y_true, n_classes):
    y_proba = probabilities(len(y_true), n_classes)[1]
    png(draw(np.array(y_true), y_proba, [f"class {k}" for k in range(n_classes)], "exp1_tuned"))


@pytest.mark.parametrize("draw", [confusion, *CURVES])
def test_certain_probabilities_are_drawn(draw):
    y_true = np.zeros(30, dtype=int)
    png(draw(y_true, np.tile([1.0, 0.0], (30, 1)), ["no", "yes"], "exp1_tuned"))
    y_true[:5] = 1
    png(draw(y_true, np.tile([1.0, 0.0], (30, 1)), ["no", "yes"], "exp1_tuned"))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_titles_and_legends_agree_with_the_metrics(n_classes):
    y_true, y_proba = probabilities(500, n_classes)
    labels = ["a", "b", "c"][:n_classes]
    metrics = classification_metrics(y_true, y_proba)
    for draw, name, score in (
        (roc_curve_plot, "roc_auc", roc_auc_score),
        (pr_curve_plot, "average_precision", average_precision_score),
    ):
        figure = draw(y_true, y_proba, labels, "exp1_tuned")
        assert figure.axes[0].get_title().endswith(f"{metrics[name]:.3f}")
        last_score = score(y_true == n_classes - 1, y_proba[:, -1])
        assert f"{last_score:.3f}: {labels[-1]}" in legend_texts(figure)


def test_only_the_most_frequent_classes_are_named():
    y_true, y_proba = probabilities(3000, 12)
    rare = np.flatnonzero(y_true == 3)[10:]
    y_true, y_proba = np.delete(y_true, rare), np.delete(y_proba, rare, axis=0)
    for draw in CURVES:
        figure = draw(y_true, y_proba, [f"class {k}" for k in range(12)], "exp1_tuned")
        named = [text for text in legend_texts(figure) if ": class " in text]
        assert len(named) == 10
        assert not any(text.endswith("class 3") for text in named)
        assert figure.legends[0].get_title().get_text() == "most frequent of 12 classes"


def test_curves_of_many_rows_are_thinned_but_keep_their_ends():
    y_true, y_proba = probabilities(100_000, 2)
    for draw in (roc_curve_plot, pr_curve_plot):
        line = draw(y_true, y_proba, ["no", "yes"], "exp1_tuned").axes[0].lines[0]
        x = line.get_xdata()
        assert 1000 < len(x) <= 5000
        assert {x.min(), x.max()} == {0.0, 1.0}


def test_cells_have_counts_and_shares_for_up_to_thirty_classes():
    figure = confusion_matrix_plot(np.array([[98_963, 3], [0, 15]]), ["no", "yes"], "exp1_tuned")
    assert [text.get_text() for text in figure.axes[0].texts] == ["98,963\n100.0%", "3\n0.0%", "0", "15\n100.0%"]
    assert figure.axes[0].get_title() == "exp1_tuned\n98,981 test rows, accuracy 100.0%"
    for n_classes, n_texts in ((30, 900), (31, 0)):
        figure = confusion_matrix_plot(np.eye(n_classes, dtype=int), list(map(str, range(n_classes))), "exp1_tuned")
        assert len(figure.axes[0].texts) == n_texts


def test_labels_with_equal_short_names_are_numbered():
    labels = [f"a very long beginning, {k}, and a very long ending" for k in range(3)]
    figure = confusion_matrix_plot(np.eye(3, dtype=int), labels, "exp1_tuned")
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(set(names)) == 3
    assert max(map(len, names)) <= 26


def test_true_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    positive = rng.uniform(size=50_000)
    y_true = (rng.uniform(size=50_000) < positive).astype(int)
    figure = calibration_plot(y_true, np.column_stack([1 - positive, positive]), ["no", "yes"], "exp1_tuned")
    predicted, actual = figure.axes[0].lines[1].get_data()
    assert len(predicted) == 10
    assert np.abs(predicted - actual).max() < 0.03
