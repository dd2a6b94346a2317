"""By what models are judged: metrics on test rows and on folds, and the one that chooses the winner."""

from collections.abc import Callable, Mapping, Sequence
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
from pipeline.tables.split import Rows
from pipeline.train.custom import Function, custom_metrics, load_function
from pipeline.train.training_data import TrainingData

Metrics = dict[str, float]


@dataclass(frozen=True)
class OwnMetrics:
    """A function of the user's, and the prepared tables whose rows it gets."""

    function: Function
    train: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True)
class Evaluation:
    """How one training judges its models.

    Attributes
    ----------
    task : Task
    y_train, y_test : arrays, shapes (n_train,) and (n_test,)
        From `Task.encode`.
    valid_rows : list of array of int
        Of each fold the positions of its validation rows in the training rows.
    thresholds : list of float
        Of two labels: probabilities from which the positive one counts as predicted.
    custom : OwnMetrics, optional
    choose_by : str
        The metric whose mean over the folds chooses the winner.
    greater_is_better : bool
        Whether the greatest mean wins.
    """

    task: Task
    y_train: NDArray[Any]
    y_test: NDArray[Any]
    valid_rows: list[Rows]
    thresholds: list[float]
    custom: OwnMetrics | None
    choose_by: str
    greater_is_better: bool

    @classmethod
    def of(
        cls, params: EvaluateParams, data: TrainingData, rows: Mapping[str, pd.DataFrame], folder: Path
    ) -> "Evaluation":
        """Return the evaluation that params.yaml asks for.

        Parameters
        ----------
        params : EvaluateParams
        data : TrainingData
        rows : mapping of str to DataFrame
            The prepared tables "train" and "test", where params name a function of the user's.
        folder : Path
            The pipeline folder, in which that function is looked for.

        Raises
        ------
        PipelineError
            When the user's function cannot be loaded or fails, or the metric to choose by is not one.
        """
        custom = None
        if params.custom:
            custom = OwnMetrics(load_function(params.custom, folder), rows["train"], rows["test"])
        name = params.choose_by or data.task.loss
        greater = params.greater_is_better
        if greater is None:
            greater = better(name) is not False
        valid_rows = [fold.valid for fold in data.folds]
        evaluation = cls(data.task, data.y_train, data.y_test, valid_rows, params.thresholds, custom, name, greater)
        if params.custom or params.choose_by:
            evaluation._try_on_baseline()
        return evaluation

    def _try_on_baseline(self) -> None:
        """Judge constant predictions, so that what is wrong with the metrics shows before the training."""
        constant: Any = self._shares() if self.task.labels else self.y_train.mean()

        def outputs(n_rows: int) -> NDArray[np.float64]:
            return np.full((n_rows, *np.shape(constant)), constant)

        self.over_folds(self.of_folds([outputs(len(valid)) for valid in self.valid_rows]))
        if self.custom:
            self.of_test(outputs(len(self.y_test)))

    def of_test(self, outputs: NDArray[Any]) -> Metrics:
        """Return the metrics of the test rows, those of the best constant prediction (baseline) among them."""
        if self.task.labels:
            shares = self._shares()
            metrics = classification_metrics(
                self.y_test, outputs, self.thresholds, most_frequent=int(shares.argmax()), train_shares=shares
            )
        else:
            metrics = regression_metrics(self.y_test, outputs, float(self.y_train.mean()))
        if self.custom:
            metrics |= self._own(self.custom.test, self.y_test, outputs, metrics)
        return metrics

    def of_folds(self, outputs: Sequence[NDArray[Any]]) -> list[Metrics]:
        """Return the metrics of each fold's validation rows."""
        return [self.of_fold(valid, one) for valid, one in zip(self.valid_rows, outputs, strict=True)]

    def of_fold(self, valid: Rows, outputs: NDArray[Any]) -> Metrics:
        """Return the metrics of some training rows, by their positions."""
        y_valid = self.y_train[valid]
        if self.task.labels:
            metrics = classification_metrics(y_valid, outputs, self.thresholds)
        else:
            metrics = regression_scores(y_valid, outputs)
        if self.custom:
            metrics |= self._own(self.custom.train.iloc[valid], y_valid, outputs, metrics)
        return metrics

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

    def _shares(self) -> NDArray[np.float64]:
        """Return the share of each class among the training rows."""
        shares: NDArray[np.float64] = np.bincount(self.y_train, minlength=self.task.n_classes) / len(self.y_train)
        return shares

    def _own(self, rows: pd.DataFrame, y_true: NDArray[Any], outputs: NDArray[Any], metrics: Metrics) -> Metrics:
        """Return the metrics of the user's function, none of which may have the name of another."""
        assert self.custom is not None
        found = custom_metrics(self.custom.function, self.task, y_true, outputs, rows)
        for name in found:
            if name in metrics or better(name) is not None:
                raise PipelineError(
                    f"evaluate.custom in params.yaml returned {name!r}, the name of one of the pipeline's own metrics",
                    "give it another name",
                )
        return found
