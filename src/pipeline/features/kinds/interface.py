"""The interface that every kind of feature implements.

To add a kind, add a module to this package with a subclass of `FeatureKind` (a frozen dataclass that holds the fitted
state), list it in `pipeline.features.kinds.KINDS`, and add its settings to the schema of params.yaml.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotConvertible, PipelineError
from pipeline.features.columns import Kind
from pipeline.features.graph_builder import GraphBuilder, GraphSource
from pipeline.features.source import Source


class Feature(NamedTuple):
    """A feature of a kind.

    Attributes
    ----------
    name : str
        A name that XGBoost accepts; the transformer makes it unique.
    columns : sequence of str
        Raw columns it is computed from, except those of the kind's `input_features`.
    is_number : bool
        Whether it is numeric, and scaled for the models that need scaling; otherwise it is 0 or 1.
    column : str
        The raw or derived column whose value it is, by the name used in params.yaml; empty if there is none.
    """

    name: str
    columns: Sequence[str]
    is_number: bool = True
    column: str = ""


@dataclass(frozen=True)
class RawColumns:
    """The raw columns of a table: the kind of each, and which are claimed by a kind of feature."""

    kinds: Mapping[str, Kind]
    claimed: frozenset[str]

    def unclaimed(self, *kinds: Kind) -> list[str]:
        """Return the columns of these kinds that no kind of feature claims."""
        return [name for name, kind in self.kinds.items() if kind in kinds and name not in self.claimed]


@dataclass(frozen=True)
class Target:
    """The target of training rows.

    Attributes
    ----------
    names : list of str
        One name for a regression or binary classification; one per class for a multiclass one.
    values : array of float64, shape (n_rows,) or (n_rows, n_names)
        The target of a regression; for a classification, 1 where a row is of the class, else 0.
    counts : array of int, shape (n_names,), optional
        The number of rows of each class among all training rows, so that features are the same in every fold; by
        default among these rows.
    """

    names: list[str]
    values: NDArray[np.float64]
    counts: NDArray[np.intp] | None = None

    def take(self, rows: NDArray[np.intp]) -> "Target":
        """Return the target of these rows."""
        return Target(self.names, self.values[rows], self.counts)


@dataclass(frozen=True)
class TrainingRows:
    """The training rows that a kind is fitted on.

    Attributes
    ----------
    columns : RawColumns
    source : Source
        The values of the rows.
    numbers : mapping of str to str
        Names of the features that are raw or derived numeric columns, by column name.
    target : Target, optional
        Set only for kinds that use the target.
    """

    columns: RawColumns
    source: Source
    numbers: Mapping[str, str]
    target: Target | None = None


@dataclass(frozen=True, eq=False)
class FeatureKind(ABC):
    """A fitted kind of feature.

    Attributes
    ----------
    key : str
        Key of its settings (``features`` in params.yaml) and of its state in features.json, and name of its array file.
    sees_target : bool
        Whether it learns from the target; its features of training rows are then computed out of fold.
    learns_from_values : bool
        Whether it learns more from training rows than their columns and categories.
    drift_name : str, optional
        Name of its features in drift reports, if they are monitored instead of their many raw columns. Such features
        are never missing.
    grows : bool
        Whether later rows of its columns have other values by nature, as dates do, so that only their missing values
        are monitored.
    """

    key: ClassVar[str]
    sees_target: ClassVar[bool] = False
    learns_from_values: ClassVar[bool] = False
    drift_name: ClassVar[str | None] = None
    grows: ClassVar[bool] = False

    @classmethod
    def claims(cls, kinds: Mapping[str, Kind], settings: Any) -> list[str]:
        """Return the raw columns reserved for this kind, given its settings or its stored state."""
        return []

    @classmethod
    @abstractmethod
    def fit(cls, training: TrainingRows, settings: Any) -> Self | None:
        """Fit to training rows; return None if the settings (None if absent) do not enable the kind."""

    @classmethod
    def max_rows(cls, settings: Any) -> int | None:
        """Return the number of training rows beyond which the kind is fitted on a sample; None for all rows."""
        return None

    @property
    @abstractmethod
    def features(self) -> list[Feature]:
        """All features of this kind, in order."""

    @abstractmethod
    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield the features at these indices of `features`, in ascending order: numbers, shape (n_rows,)."""

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, indices: Sequence[int]) -> list[str]:
        """Add nodes to an ONNX graph that compute the same features as `compute`.

        Returns
        -------
        list of str
            Names of float values, shape (n_rows, n), whose concatenation is the features at `indices`.

        Raises
        ------
        NotConvertible
            If the features cannot be expressed in ONNX, with the reason.
        """
        raise NotConvertible(f"features of kind {self.key} have no counterpart in ONNX", "serve the MLflow model")

    def state(self) -> Any:
        """Return the fitted state as JSON values, except for `arrays`; None if there is nothing to store."""
        return None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the fitted state that is stored as arrays of numbers or texts."""
        return {}

    @classmethod
    @abstractmethod
    def restore(cls, columns: RawColumns, state: Any, arrays: Mapping[str, NDArray[Any]]) -> Self | None:
        """Restore a fitted kind from its `state` and `arrays`; return None if nothing was stored."""

    @property
    def input_features(self) -> list[str]:
        """Names of the features of other kinds that these are computed from."""
        return []

    @property
    def known_categories(self) -> dict[str, list[str]]:
        """The categories of each text column seen in training, sorted."""
        return {}

    @property
    def descriptions(self) -> dict[str, str]:
        """What the values of its columns are, for clients, where the type and `known_categories` do not say it."""
        return {}

    @property
    def run_params(self) -> dict[str, Any]:
        """Parameters to log with a training run."""
        return {}


def feature_name(*parts: str) -> str:
    """Join `parts` into a name that XGBoost accepts: no ``[``, ``]``, ``<`` or characters unsafe in file names."""
    words = (re.sub(r"\W+", "_", part).strip("_") for part in parts)
    return "_".join(word for word in words if word) or "feature"


def require_columns(key: str, names: Iterable[str], columns: RawColumns, *kinds: Kind) -> None:
    """Check that the columns in the settings of a kind exist and are of these kinds.

    Raises
    ------
    PipelineError
    """
    for name in names:
        kind = columns.kinds.get(name)
        if kind is None:
            raise PipelineError(
                f"features.{key} in params.yaml names {name!r}, which is not an input column", "correct or remove it"
            )
        if kind not in kinds:
            remedy = f"remove it from features.{key}"
            raise PipelineError(
                f"features.{key} in params.yaml names {name!r}, a {kind} column; it must be {' or '.join(kinds)}",
                f"{remedy}, or add it to dataset.categorical" if kinds == ("text",) else remedy,
            )
