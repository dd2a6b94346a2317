"""The feature transformer: raw rows in, the numeric columns a model is fitted on out.

It composes the kinds of features (`pipeline.features.kinds`), is fitted on training rows, and is stored as JSON and
plain arrays beside the model, so that training and serving compute the same features from the same code.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from pipeline.features import kinds as registered
from pipeline.features.columns import Kind, kinds_of
from pipeline.features.composition import Composition
from pipeline.features.kinds.interface import FeatureKind, RawColumns, Target, TrainingRows
from pipeline.features.source import Matrix, Source

FEATURES_FILE = "features.json"  # in a logged model


@dataclass(frozen=True)
class FeatureTransformer(Composition):
    """Turns raw rows into features.

    Attributes
    ----------
    kinds : dict of str to {"number", "boolean", "text"}
        The raw input columns, in order.
    """

    kinds: dict[str, Kind]

    @classmethod
    def fit(cls, rows: pd.DataFrame, settings: Mapping[str, Any]) -> Self:
        """Fit the kinds of features that do not see the target.

        Parameters
        ----------
        rows : DataFrame, shape (n_rows, n_columns)
            Input columns only: neither target nor dropped columns.
        settings : mapping of str to any
            Of params.yaml, by the key of the kind: ``derived`` of ``dataset``, and all of ``features``.

        Raises
        ------
        PipelineError
            When a column is of no type that is a feature, or settings do not fit the columns.
        """
        transformer = cls((), kinds_of(rows))
        return transformer._fitted(transformer.source(rows), None, settings)

    def with_target(self, source: Source, target: Target, settings: Mapping[str, Any]) -> Self:
        """Return this transformer with the kinds that see the target fitted on training rows."""
        others = tuple(part for part in self.parts if not part.sees_target)
        return replace(self, parts=others)._fitted(source, target, settings)

    def _fitted(self, source: Source, target: Target | None, settings: Mapping[str, Any]) -> Self:
        columns, fitted = _raw_columns(self.kinds, settings), self
        for kind in registered.KINDS:
            if kind.sees_target == (target is not None):
                source = replace(source, compute=fitted.compute)
                part = kind.fit(TrainingRows(columns, source, fitted.numbers, target), settings.get(kind.key))
                fitted = replace(fitted, parts=(*fitted.parts, part)) if part else fitted
        return fitted

    def source(self, rows: pd.DataFrame) -> Source:
        """Return a table with at least the columns of `kinds`, in any order, for `compute` and `with_target`."""
        return replace(Source.of_table(rows, self.kinds), compute=self.compute)

    def transform(self, rows: pd.DataFrame, only: Sequence[str] | None = None) -> pd.DataFrame:
        """Compute the features of raw rows, all or some: float32, as XGBoost computes, NaN where missing."""
        names = self.feature_names if only is None else list(only)
        return pd.DataFrame(self.compute(self.source(rows), names), rows.index, names, copy=False)

    def of_values(self, columns: Mapping[str, Sequence[Any]], only: Sequence[str]) -> Matrix:
        """Compute features as `transform` does, of validated values by raw column: float, bool, str or None."""
        return self.compute(replace(Source.of_values(columns, self.kinds), compute=self.compute), only)

    def compute(self, source: Source, names: Sequence[str]) -> Matrix:
        """Compute features, column after column: shape (n_rows, n_features)."""
        matrix = np.empty((source.n_rows, len(names)), dtype=np.float32, order="F")
        columns = {name: column for column, name in enumerate(names)}
        for part, places, wanted in self.wanted(names):
            for name, values in zip(wanted, part.compute(source, places), strict=True):
                matrix[:, columns[name]] = values
        return matrix

    def without_caches(self) -> Self:
        """Return this transformer without what it can compute again, such as a search tree."""
        return replace(self, parts=tuple(replace(part) for part in self.parts))

    def save(self, folder: Path, features: Sequence[str]) -> dict[str, Any]:
        """Write arrays that some features need, and return the rest of what was fitted as plain values for JSON."""
        for part, named in self.named_parts:
            if (arrays := part.arrays()) and named.keys() & set(features):
                np.savez(folder / f"{part.key}.npz", **arrays)  # type: ignore[arg-type]
        states = {part.key: part.state() for part in self.parts}
        return {"kinds": self.kinds} | {key: state for key, state in states.items() if state is not None}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the transformer of a logged model from the model's folder."""
        stored = json.loads((folder / FEATURES_FILE).read_text(encoding="utf-8"))["transformer"]
        columns = _raw_columns(stored["kinds"], stored)
        parts = (kind.restore(columns, stored.get(kind.key), _arrays(folder, kind)) for kind in registered.KINDS)
        return cls(tuple(part for part in parts if part), stored["kinds"])


def _raw_columns(kinds: dict[str, Kind], chosen: Mapping[str, Any]) -> RawColumns:
    claims = (kind.claims(kinds, chosen.get(kind.key)) for kind in registered.KINDS)
    return RawColumns(kinds, frozenset(name for claimed in claims for name in claimed))


def _arrays(folder: Path, kind: type[FeatureKind]) -> dict[str, Any]:
    file = folder / f"{kind.key}.npz"
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as stored:
        return dict(stored)
