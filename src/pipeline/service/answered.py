"""What passes from a request to those who record it, as plain values: which model, raw values in, answers out."""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.features.columns import Kind

Columns = dict[str, list[Any]]  # raw column -> a value a row: float, bool, str, or None where it is missing
Arm = Literal["production", "challenger"]


@dataclass(frozen=True, eq=False, slots=True)
class ModelIdentity:
    """Which model answers, and in what form; each loaded model has one of its own.

    Attributes
    ----------
    name, version, run_id : str, int, str
        Of the registered model.
    kinds : dict of str to {"number", "boolean", "text"}
        The raw input columns, in order.
    labels : list of str, int or bool, optional
        In the order of the probabilities; None for a regression.
    """

    name: str
    version: int
    run_id: str
    kinds: dict[str, Kind]
    labels: list[Any] | None


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model answers.

    Attributes
    ----------
    predictions : list of float, or of str, int or bool; length n_rows
        In a regression the target, in its unit; in a classification the most probable label.
    probabilities : list of list of float, shape (n_rows, n_labels), optional
        In the order of the model's labels; None of a regression.
    """

    predictions: list[Any]
    probabilities: list[list[float]] | None = None

    @property
    def confidences(self) -> list[float] | None:
        """The probability of each predicted label in percent, 0 to 100; None of a regression."""
        return None if self.probabilities is None else [round(100 * max(row), 10) for row in self.probabilities]


@dataclass(frozen=True, slots=True)
class Answered:
    """One answered request of at least one row.

    Attributes
    ----------
    time : float
        Seconds since the epoch.
    ids : list of str, length n_rows
        Prediction ids, each once ever.
    arm : {"production", "challenger"}
    model : ModelIdentity
    columns : dict of str to list
        The raw input columns, in the order of ``model.kinds``.
    outputs : Outputs
    elapsed_ms : float
        From the whole request read to the answer written, for all its rows together.
    """

    time: float
    ids: list[str]
    arm: Arm
    model: ModelIdentity
    columns: Columns
    outputs: Outputs
    elapsed_ms: float
