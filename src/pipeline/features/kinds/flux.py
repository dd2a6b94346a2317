"""Light curves: statistics, periodogram and transit search of columns FLUX.1, FLUX.2, … (``features.flux``)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotConvertible, PipelineError
from pipeline.features.columns import Kind
from pipeline.features.graph_builder import GraphBuilder, GraphSource
from pipeline.features.kinds.interface import Feature, FeatureKind, RawColumns, TrainingRows
from pipeline.features.light_curves import FLUX_FEATURES, flux_columns, flux_features
from pipeline.features.source import Source


@dataclass(frozen=True, eq=False)
class LightCurves(FeatureKind):
    """The columns of a light curve, in the order of time; none where there is no curve."""

    key: ClassVar[str] = "flux"
    drift_name: ClassVar[str] = "light_curve"
    columns: list[str]

    @classmethod
    def claims(cls, kinds: Mapping[str, Kind], chosen: bool | None) -> list[str]:
        """Return the points of the curve, which are no features themselves."""
        return flux_columns([name for name, kind in kinds.items() if kind == "number"]) if chosen else []

    @classmethod
    def fit(cls, training: TrainingRows, settings: bool | None) -> Self:
        """Find the columns, where the settings ask for it.

        Raises
        ------
        PipelineError
            When there are none.
        """
        columns = cls.claims(training.columns.kinds, settings)
        if settings and len(columns) < 2:
            raise PipelineError(
                "features.flux in params.yaml is true, and the table has no number columns FLUX.1, FLUX.2, …",
                "name the columns of the light curve so, in the order of time, or set features.flux: false",
            )
        return cls(columns)

    @classmethod
    def restore(cls, columns: RawColumns, state: bool, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Find the columns again."""
        return cls(cls.claims(columns.kinds, state))

    def state(self) -> bool:
        """Return whether there is a curve."""
        return bool(self.columns)

    @cached_property
    def features(self) -> list[Feature]:
        """The features of a curve."""
        return [Feature(name, self.columns) for name in FLUX_FEATURES] if self.columns else []

    def compute(self, source: Source, places: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Compute all features at once, as one search gives most of them."""
        found = flux_features(np.column_stack([source.numbers(name) for name in self.columns]))
        return found.T[list(places)]

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, places: Sequence[int]) -> list[str]:
        """Refuse: ONNX has no operators for it."""
        raise NotConvertible(
            "the model takes features of light curves, which ONNX has no operators for",
            "serve the MLflow model, or set features.flux: false in params.yaml",
        )

    @property
    def run_params(self) -> dict[str, Any]:
        """How many features are made of the curve."""
        return {"flux_features_extracted": len(self.features)}
