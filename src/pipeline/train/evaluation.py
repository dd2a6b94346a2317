"""Evaluate models: metrics of the test rows and the folds, and the metric that selects the winner."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.decision import predicted_classes
from pipeline.learn.metrics import (
    classification_metrics,
    greater_is_better,
    regression_metrics,
    regression_scores,
)
from pipeline.learn.task import Task
from pipeline.learn.threshold import best_threshold, f1_score, negative_cost
from pipeline.params.schema import ErrorCosts, EvaluateParams
from pipeline.tables.split import Rows
from pipeline.train.custom import Function, custom_metrics, load_function
from pipeline.train.training_data import TrainingData

Metrics = dict[str, float]


@dataclass(frozen=True)
class CustomMetrics:
    """A custom metrics function, and the rows of the search and of the test table that it is called with."""

    function: Function
    train: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True)
class Evaluation:
    """How a training evaluates its models.

    Attributes
    ----------
    task : Task
    y_search, y_test : arrays, shapes (n_search,) and (n_test,)
        The target of the rows of the search, and of the test rows, from `Task.encode`.
    baseline : float or array of float64, shape (n_classes,)
        The mean target of the training rows, or the share of each class.
    valid_rows : list of array of int
        The positions of each fold's validation rows in the rows of the search.
    thresholds : list of float
        Probabilities of the positive class at which a binary classification is evaluated.
    custom : CustomMetrics, optional
    choose_by : str
        The metric whose mean over the folds selects the winner.
    greater_is_better : bool
        Whether the greatest mean wins.
    threshold : float or {"f1", "cost"}, optional
        Decision threshold of a binary classification, or how each model's own threshold is chosen.
    costs : ErrorCosts, optional
        For the threshold ``cost``.
    """

    task: Task
    y_search: NDArray[Any]
    y_test: NDArray[Any]
    baseline: Any
    valid_rows: list[Rows]
    thresholds: list[float]
    custom: CustomMetrics | None
    choose_by: str
    greater_is_better: bool
    threshold: float | Literal["f1", "cost"] | None = None
    costs: ErrorCosts | None = None

    @classmethod
    def from_params(
        cls, params: EvaluateParams, data: TrainingData, rows: Mapping[str, pd.DataFrame], folder: Path
    ) -> "Evaluation":
        """Return the evaluation configured in params.yaml.

        Parameters
        ----------
        params : EvaluateParams
        data : TrainingData
        rows : mapping of str to DataFrame
            The rows of the search ("train") and the test table; only needed for a custom metrics function.
        folder : Path
            The pipeline folder, where that function is searched for.

        Raises
        ------
        PipelineError
            When the custom function cannot be loaded or fails, ``choose_by`` is not a metric of every fold, or a
            decision threshold is set for a target that does not have two classes.
        """
        if params.threshold is not None and data.task.n_classes != 2:
            target = f"has {data.task.n_classes} classes" if data.task.labels else "is a number"
            raise PipelineError(
                f"evaluate.threshold in params.yaml is {params.threshold!r}, but the target {target}",
                "remove it: a threshold decides between two classes",
            )
        custom = None
        if params.custom:
            custom = CustomMetrics(load_function(params.custom, folder), rows["train"], rows["test"])
        name = params.choose_by or data.task.loss
        greater = params.greater_is_better
        if greater is None:
            greater = greater_is_better(name) is not False
        valid_rows = [fold.valid for fold in data.folds]
        baseline: Any = data.y_train.mean()
        if data.task.labels:
            baseline = np.bincount(data.y_train, minlength=data.task.n_classes) / len(data.y_train)
        evaluation = cls(
            data.task,
            data.y_search,
            data.y_test,
            baseline,
            valid_rows,
            params.thresholds,
            custom,
            name,
            greater,
            params.threshold,
            params.costs,
        )
        if params.custom or params.choose_by:
            evaluation._check_on_baseline()
        return evaluation

    def _check_on_baseline(self) -> None:
        """Evaluate constant predictions, so that problems with the metrics appear before the training."""

        def outputs(n_rows: int) -> NDArray[np.float64]:
            return np.full((n_rows, *np.shape(self.baseline)), self.baseline)

        self.summarize_folds(self.score_folds([outputs(len(valid)) for valid in self.valid_rows]))
        if self.custom:
            self.score_test(outputs(len(self.y_test)))

    def choose_threshold(self, outputs: Sequence[NDArray[Any]]) -> float | None:
        """Return the decision threshold of a model, given its probabilities for each fold's validation rows.

        None: the most probable class is predicted.
        """
        if not isinstance(self.threshold, str):
            return self.threshold
        score = negative_cost(**self.costs.model_dump()) if self.costs else f1_score
        y_valid = self.y_search[np.concatenate(self.valid_rows)]
        return best_threshold(y_valid, np.concatenate(outputs)[:, 1], score)

    def score_test(self, outputs: NDArray[Any], threshold: float | None = None) -> Metrics:
        """Return the metrics of the test rows, including those of the best constant prediction (baseline)."""
        if self.task.labels:
            most_frequent = int(self.baseline.argmax())
            metrics = classification_metrics(
                self.y_test,
                outputs,
                self.thresholds,
                y_pred=predicted_classes(outputs, threshold),
                most_frequent=most_frequent,
                train_shares=self.baseline,
            )
            if self.task.n_classes == 2:
                metrics["threshold"] = 0.5 if threshold is None else threshold
        else:
            metrics = regression_metrics(self.y_test, outputs, float(self.baseline))
        if self.custom:
            metrics |= self._custom_metrics(self.custom.test, self.y_test, outputs, threshold, metrics)
        return metrics

    def score_folds(self, outputs: Sequence[NDArray[Any]], threshold: float | None = None) -> list[Metrics]:
        """Return the metrics of each fold's validation rows."""
        return [self.score_fold(valid, fold, threshold) for valid, fold in zip(self.valid_rows, outputs, strict=True)]

    def score_fold(self, valid: Rows, outputs: NDArray[Any], threshold: float | None = None) -> Metrics:
        """Return the metrics of the rows of the search at the positions `valid`."""
        y_valid = self.y_search[valid]
        if self.task.labels:
            y_pred = predicted_classes(outputs, threshold)
            metrics = classification_metrics(y_valid, outputs, self.thresholds, y_pred=y_pred)
        else:
            metrics = regression_scores(y_valid, outputs)
        if self.custom:
            metrics |= self._custom_metrics(self.custom.train.iloc[valid], y_valid, outputs, threshold, metrics)
        return metrics

    def summarize_folds(self, folds: list[Metrics]) -> Metrics:
        """Return mean and standard deviation over the folds of the loss and of the custom and ``choose_by`` metrics.

        Raises
        ------
        PipelineError
            When a fold does not have the ``choose_by`` metric or a custom metric.
        """
        custom_names = dict.fromkeys(name for fold in folds for name in fold if greater_is_better(name) is None)
        summary: Metrics = {}
        for name in dict.fromkeys([self.task.loss, self.choose_by, *custom_names]):
            values = [fold[name] for fold in folds if name in fold]
            if len(values) < len(folds) and name in custom_names:
                raise PipelineError(
                    f"evaluate.custom in params.yaml returned {name!r} for some folds only",
                    "return the same names for all rows",
                )
            if len(values) < len(folds):
                raise PipelineError(
                    f"evaluate.choose_by in params.yaml is {name!r}, which "
                    f"{'some folds do not have' if values else 'no fold has'}",
                    f"name one of {', '.join(folds[0])}",
                )
            summary |= {f"cv_{name}_mean": float(np.mean(values)), f"cv_{name}_std": float(np.std(values))}
        return summary

    @property
    def chosen_by(self) -> str:
        """The logged name of the metric that selects the winner."""
        return f"cv_{self.choose_by}_mean"

    @property
    def sort_key(self) -> Callable[[Metrics], float]:
        """The sort key of metrics, the best first."""
        return lambda metrics: -metrics[self.chosen_by] if self.greater_is_better else metrics[self.chosen_by]

    def _custom_metrics(
        self,
        rows: pd.DataFrame,
        y_true: NDArray[Any],
        outputs: NDArray[Any],
        threshold: float | None,
        metrics: Metrics,
    ) -> Metrics:
        """Return the metrics of the custom function, whose names must differ from the built-in ones."""
        assert self.custom is not None
        found = custom_metrics(self.custom.function, self.task, y_true, outputs, rows, threshold)
        for name in found:
            if name in metrics or greater_is_better(name) is not None:
                raise PipelineError(
                    f"evaluate.custom in params.yaml returned {name!r}, the name of a built-in metric",
                    "rename it",
                )
        return found
