"""What is predicted: a number, or one of several labels, and how a prediction's error is measured."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Label = str | int | bool
Values = NDArray[Any]
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")  # of 64 bits, and the same when written again: 007 is a code


@dataclass(frozen=True)
class Task:
    """A regression, or a classification with its labels.

    Attributes
    ----------
    labels : list of str, int or bool, optional
        In the order of the classes 0, 1, …; of two the last is the positive one. None in a regression.
    """

    labels: list[Label] | None = None

    @classmethod
    def of(
        cls, target: pd.Series, kind: Literal["regression", "classification"], positive: Label | None = None
    ) -> "Task":
        """Return the task of a prepared target; texts that are whole numbers or truth values become such labels.

        Parameters
        ----------
        target : Series
        kind : {"regression", "classification"}
        positive : str, int or bool, optional
            Of two labels the one that counts as positive; the last in order when absent.
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
        """How many labels there are; 0 in a regression."""
        return len(self.labels or [])

    @property
    def loss(self) -> str:
        """What models are compared by: ``rmse`` or ``log_loss``."""
        return "log_loss" if self.labels else "rmse"

    @property
    def texts(self) -> list[str]:
        """The labels as text."""
        return [str(label) for label in self.labels or []]

    def encode(self, target: pd.Series) -> Values:
        """Return a prepared target as float64, or as the number of its class, shape (n_rows,)."""
        if not self.labels:
            return target.to_numpy(np.float64, copy=True)  # a view would keep the whole table
        return np.asarray(pd.Categorical(target, categories=self.texts).codes, dtype=np.int64)

    def losses(self, y_true: Values, outputs: Values) -> NDArray[np.float64]:
        """Return each row's squared error, or its log loss.

        Parameters
        ----------
        y_true : array, shape (n_rows,)
            From `encode`.
        outputs : array of float, shape (n_rows,) or (n_rows, n_classes)
            Predictions, or probabilities of the classes.
        """
        if self.labels:
            from pipeline.learn.metrics import per_row_log_loss

            return per_row_log_loss(y_true, outputs)
        return np.square(np.asarray(outputs, dtype=np.float64) - y_true)

    def score(self, losses: NDArray[np.float64]) -> float:
        """Return what `losses` come to: the root of their mean in a regression, else their mean."""
        mean = float(losses.mean())
        return mean if self.labels else float(np.sqrt(mean))

    def decode(self, classes: NDArray[np.intp]) -> NDArray[Any]:
        """Return the labels of classes."""
        labels: Sequence[Label] = self.labels or []
        return np.array(labels, dtype=object)[classes]
