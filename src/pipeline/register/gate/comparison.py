"""Compare a candidate with the current production version by their predictions for the same rows."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.columns import as_text
from pipeline.learn.metrics import DIRECTIONS, classification_metrics, regression_scores
from pipeline.learn.task import Task
from pipeline.params.schema import GateParams
from pipeline.register.gate.bootstrap import PairedOutputs, bootstrap_win_rate

Values = NDArray[Any]
KEY = "register.gate"
REGRESSION_METRICS = ("rmse", "mae", "mape", "r2")
MIN_SLICE_ROWS = 30  # smaller slices are not judged
MAX_SLICES = 50  # maximum number of values of a slice column


@dataclass(frozen=True)
class Score:
    """A metric of both models on some rows; None where it is undefined."""

    metric: str
    n_rows: int
    current: float | None
    candidate: float | None

    @property
    def improvement(self) -> float | None:
        """The improvement by the candidate, as a share of the current value; negative if it is worse."""
        if self.current is None or self.candidate is None:
            return None
        gain = (self.candidate - self.current) * (1 if DIRECTIONS[self.metric] else -1)
        if gain == 0 or self.current == 0:
            return math.copysign(math.inf, gain) if gain else 0.0
        return gain / abs(self.current)


@dataclass(frozen=True)
class Slice:
    """The rows with one value of a column; `value` is None for missing values."""

    column: str
    value: str | None
    score: Score

    @property
    def is_judged(self) -> bool:
        """Whether the slice has enough rows, and the metric is defined on them."""
        return self.score.n_rows >= MIN_SLICE_ROWS and self.score.improvement is not None

    def has_regressed(self, allowed: float) -> bool:
        """Return whether the candidate is worse on the slice by more than the share `allowed`."""
        return self.is_judged and (self.score.improvement or 0) < -allowed


@dataclass(frozen=True)
class ModelComparison:
    """The result of comparing two models.

    Attributes
    ----------
    scores : list of Score
        Every metric on all rows, the judged metric first.
    slices : list of Slice
        Scores of the judged metric.
    win_rate : float
        Share of the bootstrap resamples in which the candidate is better.
    is_identical : bool
        Whether both models predict exactly the same.
    """

    scores: list[Score]
    slices: list[Slice]
    win_rate: float
    is_identical: bool


def judged_metric(params: GateParams, task: Task) -> str:
    """Return the metric that the gate judges.

    Raises
    ------
    PipelineError
        If params.yaml names a metric of the other task.
    """
    valid = [name for name in DIRECTIONS if (name in REGRESSION_METRICS) != bool(task.labels)]
    if params.metric is not None and params.metric not in valid:
        kind = "classification" if task.labels else "regression"
        raise PipelineError(
            f"{KEY}.metric in params.yaml is {params.metric!r}, which is not a metric of {kind}",
            f"use one of {', '.join(valid)}, or null for {task.loss}",
        )
    return params.metric or task.loss


def slice_masks(rows: pd.DataFrame, params: GateParams) -> list[tuple[str, str | None, Values]]:
    """Return column, value and row mask of each slice that params.yaml names; missing values come last.

    Raises
    ------
    PipelineError
        If it names a column that the rows do not have, or one with more than `MAX_SLICES` values.
    """
    slices: list[tuple[str, str | None, Values]] = []
    for column in params.slices:
        setting = f"{KEY}.slices in params.yaml names {column!r}"
        if column not in rows.columns:
            raise PipelineError(
                f"{setting}, which is not a column of the test table",
                f"use columns such as {', '.join(rows.columns[:20])}, or []",
            )
        texts = as_text(rows[column])
        values = sorted(texts.dropna().unique())
        if len(values) > MAX_SLICES:
            raise PipelineError(
                f"{setting}, which has {len(values):,} different values in the test rows, more than {MAX_SLICES}",
                "use a column with fewer values, or remove it",
            )
        slices += [(column, value, (texts == value).to_numpy(bool)) for value in values]
        if texts.isna().any():
            slices.append((column, None, texts.isna().to_numpy(bool)))
    return slices


def compare(outputs: PairedOutputs, rows: pd.DataFrame, params: GateParams) -> ModelComparison:
    """Compare the predictions of two models for the same rows.

    Parameters
    ----------
    outputs : PairedOutputs
    rows : DataFrame, shape (n_rows, n_columns)
        The prepared rows, whose columns define the slices.
    params : GateParams

    Raises
    ------
    PipelineError
        If params.yaml names a metric or a slice that these rows do not have.
    """
    task, y_true, pairs = outputs.task, outputs.y_true, outputs.pairs
    metric = judged_metric(params, task)
    masks = slice_masks(rows, params)
    current_scores, candidate_scores = (_scores(task, y_true, *pair) for pair in pairs)
    if metric not in candidate_scores or len(y_true) < 2:
        raise PipelineError(
            f"{KEY}.metric in params.yaml is {metric}, which cannot be computed on the {len(y_true):,} test rows",
            "use another metric of the task, or prepare more test rows",
        )
    is_identical = all(np.array_equal(*values) for values in zip(*pairs, strict=True))
    win_rate = 0.0
    if outputs.current is not None and not is_identical:
        win_rate = bootstrap_win_rate(metric, outputs, params.n_resamples, params.seed)
    slices = []
    for column, value, inside in masks:
        sliced = [[None if values is None else values[inside] for values in pair] for pair in pairs]
        scores = [_scores(task, y_true[inside], *pair).get(metric) for pair in sliced]
        slices.append(Slice(column, value, Score(metric, int(inside.sum()), *scores)))
    names = [metric, *(name for name in candidate_scores if name != metric)]
    return ModelComparison(
        [Score(name, len(y_true), current_scores.get(name), candidate_scores[name]) for name in names],
        slices,
        win_rate,
        is_identical,
    )


def _scores(task: Task, y_true: Values, outputs: Values | None, classes: Values | None) -> dict[str, float]:
    if outputs is None:
        return {}
    if task.labels:
        return classification_metrics(y_true, outputs, y_pred=classes)
    return regression_scores(y_true, outputs)
