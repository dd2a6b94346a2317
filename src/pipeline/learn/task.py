"""Define the prediction task (regression or classification) and its loss."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Label = str | int | bool
Values = NDArray[Any]
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")  # fits into int64 and has the same text after conversion; 007 does not


@dataclass(frozen=True)
class Task:
    """A regression, or a classification with its class labels.

    Attributes
    ----------
    labels : list of str, int or bool, optional
        Label of each class, in class order; the second of two is the positive class. None for a regression.
    """

    labels: list[Label] | None = None

    @classmethod
    def from_target(
        cls, target: pd.Series, kind: Literal["regression", "classification"], positive: Label | None = None
    ) -> "Task":
        """Return the task of a target prepared by stage prepare.

        Texts of whole numbers become int labels, and the texts True and False become bool labels.

        Parameters
        ----------
        target : Series
        kind : {"regression", "classification"}
        positive : str, int or bool, optional
            Label of the positive class in a binary classification; by default the last in sorted order.
        """
        if kind == "regression":
            return cls()
        texts = sorted(target.unique())
        labels: list[Label] = list(texts)
        if set(texts) <= {"False", "True"}:
            labels = [text == "True" for text in texts]
        elif all(WHOLE.fullmatch(text) for text in texts):
            labels = list(sorted(map(int, texts)))
        return cls(labels if positive is None else sorted(labels, key=lambda label: str(label) == str(positive)))

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 for a regression."""
        return len(self.labels or [])

    @property
    def loss(self) -> str:
        """Metric that the search minimizes: ``rmse`` or ``log_loss``."""
        return "log_loss" if self.labels else "rmse"

    @property
    def texts(self) -> list[str]:
        """The class labels as text."""
        return [str(label) for label in self.labels or []]

    def encode(self, target: pd.Series) -> Values:
        """Return a prepared target as float64, or as class numbers, shape (n_rows,)."""
        if not self.labels:
            return target.to_numpy(np.float64, copy=True)  # a view would keep the table in memory
        return np.asarray(pd.Categorical(target, categories=self.texts).codes, dtype=np.int64)

    def losses(self, y_true: Values, outputs: Values) -> NDArray[np.float64]:
        """Return the loss of each row: its squared error, or its log loss.

        Parameters
        ----------
        y_true : array, shape (n_rows,)
            The target encoded by `encode`.
        outputs : array of float, shape (n_rows,) or (n_rows, n_classes)
            Predictions, or class probabilities.
        """
        if self.labels:
            from pipeline.learn.metrics import per_row_log_loss

            return per_row_log_loss(y_true, outputs)
        return np.square(np.asarray(outputs, dtype=np.float64) - y_true)

    def score(self, losses: NDArray[np.float64]) -> float:
        """Return the score of `losses`: the root of their mean for a regression, otherwise their mean."""
        mean = float(losses.mean())
        return mean if self.labels else float(np.sqrt(mean))

    def decode(self, classes: NDArray[np.intp]) -> NDArray[Any]:
        """Return the labels of class numbers."""
        labels: Sequence[Label] = self.labels or []
        return np.array(labels, dtype=object)[classes]
