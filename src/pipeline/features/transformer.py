"""Transform raw rows into the numeric features that a model is fitted on.

The transformer combines the kinds of features (`pipeline.features.kinds`). It is fitted on training rows and stored as
JSON and plain arrays in the logged model, so that training and serving compute the same features with the same code.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from pipeline.features import kinds as registered
from pipeline.features.columns import Kind, infer_kinds
from pipeline.features.composition import Composition
from pipeline.features.kinds.interface import FeatureKind, RawColumns, Target, TrainingRows
from pipeline.features.source import Matrix, Source

FEATURES_FILE = "features.json"  # in a logged model


@dataclass(frozen=True)
class FeatureTransformer(Composition):
    """A fitted feature transformer.

    Attributes
    ----------
    kinds : dict of str to {"number", "boolean", "text"}
        Kind of each raw input column, in table order.
    """

    kinds: dict[str, Kind]

    @classmethod
    def fit(cls, rows: pd.DataFrame, settings: Mapping[str, Any], sample: pd.DataFrame | None = None) -> Self:
        """Fit the kinds of features that do not use the target.

        Parameters
        ----------
        rows : DataFrame, shape (n_rows, n_columns)
            Input columns only, without the target and dropped columns.
        settings : mapping of str to any
            Settings from params.yaml by key of the kind: ``dataset.derived`` and every key of ``features``.
        sample : DataFrame, shape (n_rows, n_columns), optional
            Training rows for the kinds that learn from values, if `rows` are only examples; by default `rows`.

        Raises
        ------
        PipelineError
            If a column has a type that cannot be a feature, or the settings refer to columns that do not exist.
        """
        transformer = cls((), infer_kinds(rows))
        source = transformer.source(rows)
        return transformer._fit_parts(source, None, settings, source if sample is None else transformer.source(sample))

    def with_target(self, source: Source, target: Target, settings: Mapping[str, Any]) -> Self:
        """Return this transformer with the kinds that use the target fitted on training rows."""
        other_parts = tuple(part for part in self.parts if not part.sees_target)
        return replace(self, parts=other_parts)._fit_parts(source, target, settings, source)

    def _fit_parts(self, rows: Source, target: Target | None, settings: Mapping[str, Any], sample: Source) -> Self:
        columns, fitted = _raw_columns(self.kinds, settings), self
        for kind in registered.KINDS:
            if kind.sees_target == (target is not None):
                source = replace(sample if kind.learns_from_values else rows, compute=fitted.compute)
                part = kind.fit(TrainingRows(columns, source, fitted.numbers, target), settings.get(kind.key))
                fitted = replace(fitted, parts=(*fitted.parts, part)) if part else fitted
        return fitted

    def source(self, rows: pd.DataFrame) -> Source:
        """Return a table as a source for `compute` and `with_target`; it needs the columns of `kinds`, in any order."""
        return replace(Source.from_table(rows, self.kinds), compute=self.compute)

    def transform(self, rows: pd.DataFrame, only: Sequence[str] | None = None) -> pd.DataFrame:
        """Compute all features of raw rows, or `only` some: float32, the precision of XGBoost, NaN where missing."""
        names = self.feature_names if only is None else list(only)
        return pd.DataFrame(self.compute(self.source(rows), names), rows.index, names, copy=False)

    def transform_values(self, columns: Mapping[str, Sequence[Any]], only: Sequence[str]) -> Matrix:
        """Compute features as `transform` does, from validated values (float, bool, str or None) by raw column."""
        return self.compute(replace(Source.from_values(columns, self.kinds), compute=self.compute), only)

    def compute(self, source: Source, names: Sequence[str]) -> Matrix:
        """Compute features into a float32 matrix in column-major order, shape (n_rows, n_features)."""
        matrix = np.empty((source.n_rows, len(names)), dtype=np.float32, order="F")
        columns = {name: column for column, name in enumerate(names)}
        for part, indices, part_names in self.select(names):
            for name, values in zip(part_names, part.compute(source, indices), strict=True):
                matrix[:, columns[name]] = values
        return matrix

    def without_caches(self) -> Self:
        """Return this transformer without cached results such as search trees."""
        return replace(self, parts=tuple(replace(part) for part in self.parts))

    def save(self, folder: Path, features: Sequence[str]) -> dict[str, Any]:
        """Save the arrays that `features` need to `folder`, and return the rest of the fitted state as JSON values."""
        for part, named in self.named_parts:
            if (arrays := part.arrays()) and named.keys() & set(features):
                np.savez(folder / f"{part.key}.npz", **arrays)  # type: ignore[arg-type]
        states = {part.key: part.state() for part in self.parts}
        return {"kinds": self.kinds} | {key: state for key, state in states.items() if state is not None}

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the transformer of a logged model from the model's folder."""
        stored = json.loads((folder / FEATURES_FILE).read_text(encoding="utf-8"))["transformer"]
        columns = _raw_columns(stored["kinds"], stored)
        parts = (kind.restore(columns, stored.get(kind.key), _arrays(folder, kind)) for kind in registered.KINDS)
        return cls(tuple(part for part in parts if part), stored["kinds"])


def _raw_columns(kinds: dict[str, Kind], settings: Mapping[str, Any]) -> RawColumns:
    claims = (kind.claims(kinds, settings.get(kind.key)) for kind in registered.KINDS)
    return RawColumns(kinds, frozenset(name for claimed in claims for name in claimed))


def _arrays(folder: Path, kind: type[FeatureKind]) -> dict[str, Any]:
    file = folder / f"{kind.key}.npz"
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as stored:
        return dict(stored)
