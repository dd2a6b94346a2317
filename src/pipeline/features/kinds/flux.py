"""Light-curve features of columns FLUX.1, FLUX.2, …: statistics, periodogram, transit search (``features.flux``)."""

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
    """The columns of a light curve in time order; empty if the table has no light curve."""

    key: ClassVar[str] = "flux"
    drift_name: ClassVar[str] = "light_curve"
    columns: list[str]

    @classmethod
    def claims(cls, kinds: Mapping[str, Kind], settings: bool | None) -> list[str]:
        """Return the columns of the light curve, which are not features themselves."""
        return flux_columns([name for name, kind in kinds.items() if kind == "number"]) if settings else []

    @classmethod
    def fit(cls, training: TrainingRows, settings: bool | None) -> Self:
        """Find the columns of the light curve, if enabled.

        Raises
        ------
        PipelineError
            If the table has fewer than two such columns.
        """
        columns = cls.claims(training.columns.kinds, settings)
        if settings and len(columns) < 2:
            raise PipelineError(
                "features.flux in params.yaml is true, but the table has no numeric columns FLUX.1, FLUX.2, …",
                "rename the columns of the light curve, in time order, or set features.flux: false",
            )
        return cls(columns)

    @classmethod
    def restore(cls, columns: RawColumns, state: bool, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Find the columns of the light curve again."""
        return cls(cls.claims(columns.kinds, state))

    def state(self) -> bool:
        """Return whether there is a light curve."""
        return bool(self.columns)

    @cached_property
    def features(self) -> list[Feature]:
        """The features of the light curve."""
        return [Feature(name, self.columns) for name in FLUX_FEATURES] if self.columns else []

    def compute(self, source: Source, indices: Sequence[int]) -> Iterable[NDArray[Any]]:
        """Compute all features and return those requested; most come from the same transit search."""
        features = flux_features(np.column_stack([source.numbers(name) for name in self.columns]))
        return features.T[list(indices)]

    def add_nodes(self, graph: GraphBuilder, source: GraphSource, indices: Sequence[int]) -> list[str]:
        """Raise `NotConvertible`: ONNX has no operators for these features."""
        raise NotConvertible(
            "the model uses features of light curves, for which ONNX has no operators",
            "serve the MLflow model, or set features.flux: false in params.yaml",
        )

    @property
    def run_params(self) -> dict[str, Any]:
        """The number of light-curve features."""
        return {"flux_features_extracted": len(self.features)}
