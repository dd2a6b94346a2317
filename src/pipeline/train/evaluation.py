"""By what models are judged: metrics on test rows and on folds, and the one that chooses the winner."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.learn.metrics import better, classification_metrics, regression_metrics, regression_scores
from pipeline.learn.task import Task
from pipeline.params.schema import EvaluateParams
from pipeline.train.custom import Function, custom_metrics, load_function
from pipeline.train.tables import Tables

Metrics = dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """How one training judges its models.

    Attributes
    ----------
    task : Task
    thresholds : list of float
        Of two labels: probabilities from which the positive one counts as predicted.
    custom : callable, optional
        The user's function.
    choose_by : str
        The metric whose mean over the folds chooses the winner.
    """

    task: Task
    thresholds: list[float]
    custom: Function | None
    choose_by: str
    greater_is_better: bool

    @classmethod
    def of(cls, params: EvaluateParams, tables: Tables, folder: Path) -> "Evaluation":
        """Return the evaluation that params.yaml asks for.

        Raises
        ------
        PipelineError
            When the user's function cannot be loaded or fails, or the metric to choose by is not one.
        """
        task = tables.task
        custom = load_function(params.custom, folder) if params.custom else None
        name = params.choose_by or task.loss
        greater = params.greater_is_better
        if greater is None:
            greater = better(name) is not False
        evaluation = cls(task, params.thresholds, custom, name, greater)
        if params.custom or params.choose_by:
            evaluation._try_on_baseline(tables)
        return evaluation

    def _try_on_baseline(self, tables: Tables) -> None:
        """Judge constant predictions, so that what is wrong with the metrics shows before the training."""
        y_train, y_test, rows = tables.y_train, tables.y_test, tables.rows
        constant: Any = y_train.mean()
        if self.task.labels:
            constant = np.bincount(y_train, minlength=self.task.n_classes) / len(y_train)

        def outputs(n_rows: int) -> NDArray[np.float64]:
            return np.full((n_rows, *np.shape(constant)), constant)

        folds = [
            self.of_fold(y_train[fold.valid], outputs(len(fold.valid)), rows_of(rows.get("train"), fold.valid))
            for fold in tables.folds
        ]
        self.over_folds(folds)
        if self.custom:
            self.of_test(y_train, y_test, outputs(len(y_test)), rows_of(rows.get("test"), slice(None)))

    def of_test(
        self, y_train: NDArray[Any], y_test: NDArray[Any], outputs: NDArray[Any], rows: pd.DataFrame
    ) -> Metrics:
        """Return the metrics of the test rows, those of the best constant prediction (baseline) among them."""
        if self.task.labels:
            shares = np.bincount(y_train, minlength=self.task.n_classes) / len(y_train)
            metrics = classification_metrics(
                y_test, outputs, self.thresholds, most_frequent=int(shares.argmax()), train_shares=shares
            )
        else:
            metrics = regression_metrics(y_test, outputs, float(y_train.mean()))
        return metrics | self._custom(y_test, outputs, rows, metrics)

    def of_fold(self, y_valid: NDArray[Any], outputs: NDArray[Any], rows: pd.DataFrame) -> Metrics:
        """Return the metrics of a fold's validation rows."""
        if self.task.labels:
            metrics = classification_metrics(y_valid, outputs, self.thresholds)
        else:
            metrics = regression_scores(y_valid, outputs)
        return metrics | self._custom(y_valid, outputs, rows, metrics)

    def over_folds(self, folds: list[Metrics]) -> Metrics:
        """Return mean and deviation over the folds of the loss, of the user's metrics, and of what chooses.

        Raises
        ------
        PipelineError
            When the metric to choose by, or one of the user's, is not among those of every fold.
        """
        own = dict.fromkeys(name for fold in folds for name in fold if better(name) is None)
        found: Metrics = {}
        for name in dict.fromkeys([self.task.loss, self.choose_by, *own]):
            values = [fold[name] for fold in folds if name in fold]
            if len(values) < len(folds) and name in own:
                raise PipelineError(
                    f"evaluate.custom in params.yaml returned {name!r} for the rows of some folds only",
                    "let it return the same names for any rows",
                )
            if len(values) < len(folds):
                raise PipelineError(
                    f"evaluate.choose_by in params.yaml is {name!r}, which "
                    f"{'some folds lack' if values else 'no fold has'}",
                    f"name one of {', '.join(folds[0])}",
                )
            found |= {f"cv_{name}_mean": float(np.mean(values)), f"cv_{name}_std": float(np.std(values))}
        return found

    @property
    def chosen_by(self) -> str:
        """The name of the metric that chooses, as it is logged."""
        return f"cv_{self.choose_by}_mean"

    @property
    def rank(self) -> Callable[[Metrics], float]:
        """A key to sort by, the best first."""
        return lambda metrics: -metrics[self.chosen_by] if self.greater_is_better else metrics[self.chosen_by]

    def _custom(self, y_true: NDArray[Any], outputs: NDArray[Any], rows: pd.DataFrame, metrics: Metrics) -> Metrics:
        if self.custom is None:
            return {}
        found = custom_metrics(self.custom, self.task, y_true, outputs, rows)
        for name in found:
            if name in metrics or better(name) is not None:
                raise PipelineError(
                    f"evaluate.custom in params.yaml returned {name!r}, the name of one of the pipeline's own metrics",
                    "give it another name",
                )
        return found


def rows_of(table: pd.DataFrame | None, positions: Any) -> pd.DataFrame:
    """Return some rows of a prepared table; none where no function of the user's asks for them."""
    return pd.DataFrame() if table is None else table.iloc[positions]
