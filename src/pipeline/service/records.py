"""Plain values that request handling passes on to recording, tracking and drift monitoring."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipeline.features.columns import Kind
from pipeline.features.decision import confidences

Columns = dict[str, list[Any]]  # raw column -> one value per row: float, bool, str, or None if it is missing
Arm = Literal["production", "challenger"]


@dataclass(frozen=True, eq=False, slots=True)
class ModelIdentity:
    """The identity and schema of a loaded model; two loads of the same version are two identities.

    Attributes
    ----------
    name, version, run_id : str, int, str
        Of the registered model.
    kinds : dict of str to {"number", "boolean", "text"}
        The raw input columns, in order.
    labels : list of str, int or bool, optional
        The classes, in the order of the probabilities; None for a regression.
    """

    name: str
    version: int
    run_id: str
    kinds: dict[str, Kind]
    labels: list[Any] | None


@dataclass(frozen=True, slots=True)
class Outputs:
    """The predictions of a model for the rows of one request.

    Attributes
    ----------
    predictions : list of float, or of str, int or bool; length n_rows
        Regression: values in the unit of the target. Classification: the predicted class of each row.
    probabilities : list of list of float, shape (n_rows, n_classes), optional
        In the order of the model's classes; None for a regression.
    threshold : float, optional
        Decision threshold of a binary classification.
    """

    predictions: list[Any]
    probabilities: list[list[float]] | None = None
    threshold: float | None = None

    @property
    def confidences(self) -> list[float] | None:
        """The probability of each predicted class in percent, 0 to 100; None for a regression."""
        if self.probabilities is None:
            return None
        if self.threshold is None:
            return [round(100 * max(row), 10) for row in self.probabilities]
        return [round(100 * value, 10) for value in confidences(np.array(self.probabilities), self.threshold).tolist()]


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """The inputs and predictions of one request, with at least one row.

    Attributes
    ----------
    time : float
        Seconds since the epoch.
    ids : list of str, length n_rows
        Prediction ids, globally unique.
    arm : {"production", "challenger"}
    model : ModelIdentity
    columns : dict of str to list
        The raw input columns, in the order of ``model.kinds``.
    outputs : Outputs
    elapsed_ms : float
        Time from having read the request body to having the response ready, for all rows together.
    """

    time: float
    ids: list[str]
    arm: Arm
    model: ModelIdentity
    columns: Columns
    outputs: Outputs
    elapsed_ms: float
