"""The interface of a kind of feature.

A kind is a file in this folder with a subclass of `FeatureKind`, a frozen dataclass of what was fitted, and a place in
`pipeline.features.kinds.KINDS`. No other code names it, but for the section of params.yaml that its settings are from.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotConvertible
from pipeline.features.columns import Kind
from pipeline.features.graph_builder import GraphBuilder, GraphSource
from pipeline.features.source import Source


class Feature(NamedTuple):
    """One feature.

    Attributes
    ----------
    name : str
        A name that XGBoost accepts; the transformer makes it distinct.
    columns : sequence of str
        The raw columns it is computed from, without those of the features that its kind takes.
    is_number : bool
        Whether it is scaled for the models that need that; else it is 0 or 1.
    column : str
        The raw or derived column of which it is the value, the name by which params.yaml refers to it; else empty.
    """

    name: str
    columns: Sequence[str]
    is_number: bool = True
    column: str = ""


@dataclass(frozen=True)
class RawColumns:
    """The raw columns of a table: what each holds, and which of them a kind claims for itself."""

    kinds: Mapping[str, Kind]
    claimed: frozenset[str]

    def free(self, *kinds: Kind) -> list[str]:
        """Return the columns that hold one of these and that no kind claims."""
        return [name for name, kind in self.kinds.items() if kind in kinds and name not in self.claimed]


@dataclass(frozen=True)
class Target:
    """The target of training rows.

    Attributes
    ----------
    names : list of str
        One of a regression or two labels; else one a label.
    values : array of float64, shape (n_rows,) or (n_rows, n_names)
        Numbers, or 1 where a row has the label.
    """

    names: list[str]
    values: NDArray[np.float64]

    def take(self, rows: NDArray[np.intp]) -> "Target":
        """Return that of some rows."""
        return Target(self.names, self.values[rows])


@dataclass(frozen=True)
class TrainingRows:
    """What a kind is fitted on.

    Attributes
    ----------
    columns : RawColumns
    source : Source
        The training rows.
    numbers : mapping of str to str
        The features that are raw or derived number columns, by the name of the column.
    target : Target, optional
        Of the kinds that see it; None of others.
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
        Names its settings (in ``features`` of params.yaml), its state in features.json, and the file of its arrays.
    sees_target : bool
        Whether it learns from the target: then features of training rows are computed out of fold.
    drift_name : str, optional
        Of a kind whose features are watched for drift in place of their raw columns, which are many: what a report
        calls them. They are never missing.
    """

    key: ClassVar[str]
    sees_target: ClassVar[bool] = False
    drift_name: ClassVar[str | None] = None

    @classmethod
    def claims(cls, kinds: Mapping[str, Kind], chosen: Any) -> list[str]:
        """Return the raw columns that become features of this kind only, by its settings or by its stored state."""
        return []

    @classmethod
    @abstractmethod
    def fit(cls, training: TrainingRows, settings: Any) -> Self | None:
        """Learn from training rows; return None where the settings (None where there are none) ask for nothing."""

    @property
    @abstractmethod
    def features(self) -> list[Feature]:
        """All features, in order."""

    @abstractmethod
    def compute(self, source: Source, places: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Yield the features at some places of `features`, in ascending order: numbers, shape (n_rows,)."""

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, places: Sequence[int]) -> list[str]:
        """Add what `compute` computes to an ONNX graph.

        Returns
        -------
        list of str
            Values, float, shape (n_rows, n), which side by side are the features at `places`.

        Raises
        ------
        NotConvertible
            When the graph cannot compute them, with the reason.
        """
        raise NotConvertible(f"features of kind {self.key} have no counterpart in ONNX", "serve the MLflow model")

    def state(self) -> Any:
        """Return what was fitted as plain values for JSON, but for `arrays`; None for nothing."""
        return None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted as arrays of numbers and texts."""
        return {}

    @classmethod
    @abstractmethod
    def restore(cls, columns: RawColumns, state: Any, arrays: Mapping[str, NDArray[Any]]) -> Self | None:
        """Return what `state` and `arrays` are of; None where nothing was stored."""

    @property
    def takes(self) -> list[str]:
        """Features of other kinds that these are computed from."""
        return []

    @property
    def known_texts(self) -> dict[str, list[str]]:
        """The texts of raw columns that were met in training, sorted."""
        return {}

    @property
    def run_params(self) -> dict[str, Any]:
        """Parameters to record with a training run."""
        return {}


def feature_name(*parts: str) -> str:
    """Join `parts` to a name XGBoost accepts: no ``[``, ``]``, ``<``, nor other signs that break file names."""
    words = (re.sub(r"\W+", "_", part).strip("_") for part in parts)
    return "_".join(word for word in words if word) or "feature"
