"""A candidate and the version in Production, compared by what both predict of the same rows."""

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
from pipeline.register.gate.bootstrap import PairedOutputs, share_better

Values = NDArray[Any]
KEY = "register.gate"
OF_REGRESSION = ("rmse", "mae", "mape", "r2")
FEWEST_ROWS = 30  # of a slice that is judged
MOST_VALUES = 50  # of a column whose values are slices


@dataclass(frozen=True)
class Score:
    """A metric of the two models on some rows; None where it is not defined there."""

    metric: str
    n_rows: int
    current: float | None
    candidate: float | None

    @property
    def improvement(self) -> float | None:
        """By how much the candidate is better, as a share of the current value; negative where it is worse."""
        if self.current is None or self.candidate is None:
            return None
        gain = (self.candidate - self.current) * (1 if DIRECTIONS[self.metric] else -1)
        if gain == 0 or self.current == 0:
            return math.copysign(math.inf, gain) if gain else 0.0
        return gain / abs(self.current)


@dataclass(frozen=True)
class Slice:
    """The rows that hold one value of a column; `value` is None where it is missing."""

    column: str
    value: str | None
    score: Score

    @property
    def is_judged(self) -> bool:
        """Whether it has rows enough, and the metric is defined there."""
        return self.score.n_rows >= FEWEST_ROWS and self.score.improvement is not None

    def regressed(self, allowed: float) -> bool:
        """Return whether the candidate is worse here by more than the share `allowed`."""
        return self.is_judged and (self.score.improvement or 0) < -allowed


@dataclass(frozen=True)
class ModelComparison:
    """What was found.

    Attributes
    ----------
    scores : list of Score
        Every metric on all rows, the one that is judged first.
    slices : list of Slice
        By the metric that is judged.
    share : float
        Of the resamples in which the candidate is better.
    same : bool
        Whether both predict exactly the same.
    """

    scores: list[Score]
    slices: list[Slice]
    share: float
    same: bool


def metric_of(params: GateParams, task: Task) -> str:
    """Return the metric to judge by.

    Raises
    ------
    PipelineError
        When params.yaml names one of the other task.
    """
    fitting = [name for name in DIRECTIONS if (name in OF_REGRESSION) != bool(task.labels)]
    if params.metric is not None and params.metric not in fitting:
        kind = "classification" if task.labels else "regression"
        raise PipelineError(
            f"{KEY}.metric in params.yaml is {params.metric!r}, and the model is of a {kind}",
            f"name one of {', '.join(fitting)}, or null for {task.loss}",
        )
    return params.metric or task.loss


def slices_of(rows: pd.DataFrame, params: GateParams) -> list[tuple[str, str | None, Values]]:
    """Return column, value and which rows of the slices that params.yaml names; rows without a value come last.

    Raises
    ------
    PipelineError
        When it names a column that the rows do not have, or one of more than `MOST_VALUES` values.
    """
    found: list[tuple[str, str | None, Values]] = []
    for column in params.slices:
        where = f"{KEY}.slices in params.yaml names {column!r}"
        if column not in rows.columns:
            raise PipelineError(
                f"{where}, which is no column of the test table", f"name some of {', '.join(rows.columns[:20])}, or []"
            )
        texts = as_text(rows[column])
        values = sorted(texts.dropna().unique())
        if len(values) > MOST_VALUES:
            raise PipelineError(
                f"{where}, which has {len(values):,} different values among the test rows, more than {MOST_VALUES}",
                "name a column of fewer values, or remove it",
            )
        found += [(column, value, (texts == value).to_numpy(bool)) for value in values]
        if texts.isna().any():
            found.append((column, None, texts.isna().to_numpy(bool)))
    return found


def compare(outputs: PairedOutputs, rows: pd.DataFrame, params: GateParams) -> ModelComparison:
    """Compare what two models predict of the same rows.

    Parameters
    ----------
    outputs : PairedOutputs
    rows : DataFrame, shape (n_rows, n_columns)
        As prepared: slices are made of its columns.
    params : GateParams

    Raises
    ------
    PipelineError
        When params.yaml names a metric or a slice that these rows do not have.
    """
    task, y_true, current, candidate = outputs.task, outputs.y_true, outputs.current, outputs.candidate
    metric = metric_of(params, task)
    parts = slices_of(rows, params)
    theirs, ours = _scores(task, y_true, current), _scores(task, y_true, candidate)
    if metric not in ours or len(y_true) < 2:
        raise PipelineError(
            f"{KEY}.metric in params.yaml is {metric}, which cannot be judged on the {len(y_true):,} test rows",
            "name another metric that fits the task, or prepare more test rows",
        )
    same = current is not None and np.array_equal(current, candidate)
    share = 0.0
    if current is not None and not same:
        share = share_better(metric, outputs, params.n_resamples, params.seed)
    slices = []
    for column, value, inside in parts:
        pair = [
            None if one is None else _scores(task, y_true[inside], one[inside]).get(metric)
            for one in (current, candidate)
        ]
        slices.append(Slice(column, value, Score(metric, int(inside.sum()), *pair)))
    names = [metric, *(name for name in ours if name != metric)]
    return ModelComparison(
        [Score(name, len(y_true), theirs.get(name), ours[name]) for name in names], slices, share, same
    )


def _scores(task: Task, y_true: Values, outputs: Values | None) -> dict[str, float]:
    if outputs is None:
        return {}
    return classification_metrics(y_true, outputs) if task.labels else regression_scores(y_true, outputs)
