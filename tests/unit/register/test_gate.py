"""The rules of the gate, applied to simulated predictions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import ParamsError, PipelineError
from pipeline.learn.metrics import DIRECTIONS, classification_metrics, regression_scores
from pipeline.learn.task import Task
from pipeline.params.load import check_params
from pipeline.params.schema import GateParams
from pipeline.register.gate.bootstrap import PairedOutputs, bootstrap_win_rate
from pipeline.register.gate.comparison import REGRESSION_METRICS, Score, compare
from pipeline.register.gate.comparison_table import conditions, format_change, format_table

WIDTH = 110


REGRESSION, BINARY, MULTICLASS = Task(), Task(["no", "yes"]), Task([1, 2, 3])


def simulated(task: Task, n_rows: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return true values, and predictions with an error of about `noise`."""
    rng = np.random.default_rng(seed)
    if not task.labels:
        y_true = np.random.default_rng(0).normal(10, 3, n_rows)
        return y_true, y_true + rng.normal(0, noise, n_rows)
    y_true = np.random.default_rng(0).integers(0, task.n_classes, n_rows)
    margins = np.eye(task.n_classes)[y_true] + rng.normal(0, noise, (n_rows, task.n_classes))
    return y_true, np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)


def promotes(task: Task, y_true: Any, current: Any, candidate: Any, rows: pd.DataFrame, **params: Any) -> bool:
    gate = GateParams(**params)
    comparison = compare(PairedOutputs(task, y_true, current, candidate), rows, gate)
    return all(rule.holds for rule in conditions(comparison, gate))


def test_default_gate_params() -> None:
    gate = check_params({"dataset": {"path": "x.csv", "target": "y"}, "register": {}}, "params.yaml").registry.gate
    assert gate == GateParams(metric=None, min_improvement=0, confidence=0.95, max_regression=0.05, slices=[], seed=0)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"metrics": "mae"}, "register.gate.metrics: unknown key; known keys are metric, min_improvement, confidence"),
        (
            {"metric": "profit"},
            "register.gate.*: `metric` is 'profit'; it must be null or one of rmse, mae, mape, log_loss",
        ),
        ({"min_improvement": -0.1}, "register.gate.min_improvement: .*-0.1"),
        ({"confidence": 1.0}, "register.gate.confidence: .*1.0"),
        ({"confidence": 0.4}, "register.gate.confidence: .*0.4"),
        ({"max_regression": "5%"}, "register.gate.max_regression: .*5%"),
        ({"slices": "place"}, "register.gate.slices: .*place"),
        ({"slices": ["a", "a"]}, "`slices` names a column twice"),
        ({"n_resamples": 10}, "register.gate.n_resamples: .*100.*10"),
    ],
)
def test_invalid_gate_params_are_reported(gate: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check_params({"dataset": {"path": "x.csv", "target": "y"}, "register": {"gate": gate}}, "params.yaml")


@pytest.mark.parametrize("task", [REGRESSION, BINARY, MULTICLASS], ids=lambda task: f"{task.n_classes}-classes")
def test_win_rate_equals_the_metric_on_the_same_resampled_rows(task: Task) -> None:
    """The shortcuts, mean losses and counts, must agree with the metric itself on every resample."""
    n_rows, n_resamples = 40, 30
    (y_true, current), (_, candidate) = simulated(task, n_rows, 1.0, seed=1), simulated(task, n_rows, 0.95, seed=2)
    if not task.labels:
        y_true[3] = 0.0  # MAPE skips this row
    scores = classification_metrics if task.labels else regression_scores
    drawn = np.random.default_rng(7).integers(0, n_rows, (n_resamples, n_rows))
    pairs = [(scores(y_true[rows], current[rows]), scores(y_true[rows], candidate[rows])) for rows in drawn]
    metrics = [name for name in DIRECTIONS if (name in REGRESSION_METRICS) != bool(task.labels)]
    assert sorted(metrics) == sorted(pairs[0][0])
    for metric in metrics:
        is_better = [after[metric] > before[metric] for before, after in pairs]
        if not DIRECTIONS[metric]:
            is_better = [after[metric] < before[metric] for before, after in pairs]
        win_rate = bootstrap_win_rate(metric, PairedOutputs(task, y_true, current, candidate), n_resamples, seed=7)
        assert win_rate == np.mean(is_better), metric
        assert 0 < win_rate < 1


@pytest.mark.parametrize("metric", ["accuracy", "precision", "f1"])
def test_models_are_compared_by_the_classes_they_predict(metric: str) -> None:
    y_true, proba = simulated(BINARY, 300, 0.8, seed=1)
    at_half, exact = (proba[:, 1] >= 0.5).astype(int), y_true.copy()
    exact[:10] = 1 - exact[:10]
    outputs = PairedOutputs(BINARY, y_true, proba, proba, at_half, exact)
    assert bootstrap_win_rate(metric, outputs, 200, seed=7) == 1
    comparison = compare(outputs, pd.DataFrame(index=range(300)), GateParams(metric=metric))
    assert not comparison.is_identical
    assert comparison.scores[0].candidate == classification_metrics(y_true, proba, y_pred=exact)[metric]
    assert compare(
        replace(outputs, candidate_classes=at_half), pd.DataFrame(index=range(300)), GateParams()
    ).is_identical


def test_resamples_without_a_positive_row_count_as_not_better() -> None:
    y_true = np.zeros(20, dtype=np.int64)
    y_true[0] = 1
    current = np.tile([0.5, 0.5], (20, 1))
    candidate = np.column_stack([1.0 - y_true, y_true])
    assert (
        0.55 < bootstrap_win_rate("roc_auc", PairedOutputs(BINARY, y_true, current, candidate), 400, 0) < 0.72
    )  # a share of 1 - 1/e has a positive row


def test_a_better_model_is_promoted_and_an_equally_good_one_rarely(told: Callable[[str], None]) -> None:
    repetitions, n_rows, better, equal = 200, 120, 0, 0
    rows = pd.DataFrame(index=range(n_rows))
    for seed in range(repetitions):
        y_true, current = simulated(REGRESSION, n_rows, 1.0, seed)
        _, good = simulated(REGRESSION, n_rows, 0.7, seed + 1000)
        _, similar = simulated(REGRESSION, n_rows, 1.0, seed + 2000)
        better += promotes(REGRESSION, y_true, current, good, rows, n_resamples=200)
        equal += promotes(REGRESSION, y_true, current, similar, rows, n_resamples=200)
    told(f"gate, promoted of {repetitions} pairs: {better} better, {equal} equally good")
    assert better > 0.95 * repetitions
    assert 0 < equal <= 19  # 10 expected at a confidence of 0.95; more than 19 in one of 400 such tests


def test_each_rule_alone_refuses_a_candidate() -> None:
    n_rows = 600
    y_true, current = simulated(REGRESSION, n_rows, 1.0, seed=1)
    place = np.array(["here", "there", None], dtype=object)[np.arange(n_rows) % 3]
    rows = pd.DataFrame({"place": pd.Series(place, dtype="str"), "few": np.where(np.arange(n_rows) < 29, 1.0, 2.0)})
    better = y_true + 0.8 * (current - y_true)  # improves every row by 20 %
    assert promotes(REGRESSION, y_true, current, better, rows, slices=["place", "few"])
    assert promotes(REGRESSION, y_true, current, better, rows, min_improvement=0.19)
    assert not promotes(REGRESSION, y_true, current, better, rows, min_improvement=0.21)
    assert not promotes(REGRESSION, y_true, better, current, rows)
    lucky = current.copy()
    lucky[:3] = y_true[:3]
    lucky[3] += 0.2 * np.sign(current[3] - y_true[3])
    assert not promotes(REGRESSION, y_true, current, lucky, rows, confidence=0.99)
    for value, missing in (("here", False), ("", True)):
        inside = rows["place"].isna() if missing else rows["place"] == value
        worse_there = np.where(inside, y_true + 1.1 * (current - y_true), y_true + 0.5 * (current - y_true))
        assert promotes(REGRESSION, y_true, current, worse_there, rows)
        assert not promotes(REGRESSION, y_true, current, worse_there, rows, slices=["place"])
        assert promotes(REGRESSION, y_true, current, worse_there, rows, slices=["place"], max_regression=0.11)
    worse_in_few = np.where(rows["few"] == 1, y_true + 3 * (current - y_true), y_true)
    assert promotes(REGRESSION, y_true, current, worse_in_few, rows, slices=["few"])


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "roc_auc", "f1"])
def test_classifications_are_compared_in_the_direction_of_the_metric(metric: str) -> None:
    y_true, current = simulated(BINARY, 300, 1.5, seed=1)
    _, good = simulated(BINARY, 300, 0.5, seed=2)
    rows = pd.DataFrame({"half": np.arange(300) < 150})
    assert promotes(BINARY, y_true, current, good, rows, metric=metric, slices=["half"], n_resamples=100)
    assert not promotes(BINARY, y_true, good, current, rows, metric=metric, slices=["half"], n_resamples=100)


def test_improvement_is_a_share_of_the_absolute_current_value() -> None:
    assert Score("rmse", 9, 200.0, 150.0).improvement == 0.25
    assert Score("accuracy", 9, 0.8, 0.6).improvement == pytest.approx(-0.25)
    assert Score("r2", 9, -0.5, -0.25).improvement == 0.5
    assert Score("rmse", 9, 0.0, 0.0).improvement == 0
    assert format_change(Score("rmse", 9, 0.0, 2.0)) == "worse, from 0"
    assert format_change(Score("f1", 9, 0.0, 0.1)) == "better, from 0"
    assert format_change(Score("roc_auc", 9, None, 0.1)) == ""
    assert format_change(Score("rmse", 9, 1.0, 14.0)) == "1,300 % worse"


def test_slices_with_an_undefined_metric_are_shown_but_not_judged() -> None:
    y_true, current = simulated(BINARY, 200, 1.5, seed=1)
    _, good = simulated(BINARY, 200, 0.3, seed=2)
    rows = pd.DataFrame({"label": y_true, "wide 名\n" + 40 * "x": np.where(np.arange(200) < 100, "a " * 40, "")})
    params = GateParams(metric="roc_auc", slices=list(rows.columns), n_resamples=100)
    comparison = compare(PairedOutputs(BINARY, y_true, current, good), rows, params)
    assert [part.score.improvement is None for part in comparison.slices] == [True, True, False, False]
    text = format_table("title", "7", comparison, params, [("passed", "word " * 60)])
    assert text.count("not judged: undefined") == 2
    assert "(empty)" in text
    assert max(map(len, text.split("\n"))) <= WIDTH


def test_metric_and_slices_must_fit_task_and_rows() -> None:
    y_true, current = simulated(REGRESSION, 60, 1.0, seed=1)
    rows = pd.DataFrame({"x": np.arange(60.0), "place": "here"})
    outputs = PairedOutputs(REGRESSION, y_true, current, current + 1)
    for message, params in {
        "register.gate.metric in params.yaml is 'f1'(?s:.*)use one of rmse, mae, mape, r2": {"metric": "f1"},
        "register.gate.slices .* 'ocean', which is not a column(?s:.*)such as x, place": {"slices": ["ocean"]},
        "'x', which has 60 different values in the test rows, more than 50": {"slices": ["x"]},
    }.items():
        with pytest.raises(PipelineError, match=message):
            compare(outputs, rows, GateParams.model_validate(params))
    with pytest.raises(PipelineError, match="cannot be computed on the 1 test rows"):
        compare(PairedOutputs(REGRESSION, y_true[:1], current[:1], current[:1] + 1), rows[:1], GateParams())
    with pytest.raises(PipelineError, match="cannot be computed on the 60 test rows"):
        compare(replace(outputs, y_true=0 * y_true), rows, GateParams(metric="mape"))
    proba = np.full((60, 2), 0.5)
    with pytest.raises(PipelineError, match=r"'rmse', which is not a metric of classification(?s:.*)null for log_loss"):
        compare(PairedOutputs(BINARY, np.zeros(60, dtype=int), proba, proba), rows, GateParams(metric="rmse"))
