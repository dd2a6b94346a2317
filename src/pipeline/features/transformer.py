"""The feature transformer: raw rows in, the numeric columns a model is fitted on out.

It is fitted on training rows, holds names, categories and, where asked for, the rows among which neighbours are
found, and is stored as JSON and plain arrays beside the model, so that training and serving compute the same features
from the same code.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.columns import Kind, as_numbers, as_text, kind_of, without_too_large
from pipeline.features.formulas import columns_of, compute, parse
from pipeline.features.light_curves import FLUX_FEATURES, flux_columns, flux_features
from pipeline.features.neighbors import NEIGHBORS_FILE, Matrix, Neighborhood, Neighbors

FEATURES_FILE = "features.json"  # in a logged model
SUFFIX = ".0"  # a server that met a missing value beside whole numbers sends 10001 as the text 10001.0
Column = NDArray[np.float32]


def feature_name(*parts: str) -> str:
    """Join `parts` to a name XGBoost accepts: no ``[``, ``]``, ``<``, nor other signs that break file names."""
    words = (re.sub(r"\W+", "_", part).strip("_") for part in parts)
    return "_".join(word for word in words if word) or "feature"


@dataclass(frozen=True)
class FeatureTransformer:
    """Turns raw rows into features.

    Attributes
    ----------
    kinds : dict of str to {"number", "boolean", "text"}
        The raw input columns, in order.
    categories : dict of str to list of str
        For each text column its categories, each of which becomes a column of 0 and 1. A category not among
        them, like a missing one, is 0 in all.
    derived : dict of str to str
        Name and formula of each derived column.
    flux : bool
        Whether the columns of a light curve become statistics and periodogram features instead of features each.
    neighbors : Neighbors, optional
        The training rows among which those near a row are found.
    """

    kinds: dict[str, Kind]
    categories: dict[str, list[str]]
    derived: dict[str, str]
    flux: bool = False
    neighbors: Neighbors | None = None

    @classmethod
    def fit(cls, rows: pd.DataFrame, derived: dict[str, str], flux: bool = False) -> Self:
        """Learn columns and categories from training rows.

        Parameters
        ----------
        rows : DataFrame, shape (n_rows, n_columns)
            Input columns only: neither target nor dropped columns.
        derived : dict of str to str
            Formulas over number columns.
        flux : bool
            Whether to turn the columns FLUX.1, FLUX.2, … into features of light curves.

        Raises
        ------
        PipelineError
            When a formula names a column that is missing or not numeric, or a derived name is taken; when there are
            no number columns of flux though they are asked for.
        """
        kinds: dict[str, Kind] = {}
        for name in rows.columns:
            kind = kind_of(rows[name])
            if kind is None:
                raise PipelineError(
                    f"column {name!r} is of type {rows[name].dtype}, which is not a feature",
                    "add it to dataset.drop in params.yaml, or turn it into a number",
                )
            kinds[str(name)] = kind
        for name, formula in derived.items():
            _check_derived(name, formula, kinds)
        categories = {
            name: sorted(as_text(rows[name]).dropna().unique()) for name, kind in kinds.items() if kind == "text"
        }
        transformer = cls(kinds, categories, dict(derived), flux)
        if flux and len(transformer.flux_columns) < 2:
            raise PipelineError(
                "features.flux in params.yaml is true, and the table has no number columns FLUX.1, FLUX.2, …",
                "name the columns of the light curve so, in the order of time, or set features.flux: false",
            )
        return transformer

    @cached_property
    def flux_columns(self) -> list[str]:
        """The columns of the light curve, in the order of time; none unless `flux`."""
        return flux_columns([name for name, kind in self.kinds.items() if kind == "number"]) if self.flux else []

    @property
    def n_flux_features(self) -> int:
        """How many features are made of the light curve."""
        return len(FLUX_FEATURES) if self.flux else 0

    @property
    def numbers(self) -> list[str]:
        """The number and boolean columns that are features each."""
        curve = set(self.flux_columns)
        return [name for name, kind in self.kinds.items() if kind != "text" and name not in curve]

    @cached_property
    def feature_names(self) -> list[str]:
        """Names of the features, in order: numbers, derived, light curve, one per category, neighbours; distinct."""
        names = [feature_name(name) for name in [*self.numbers, *self.derived]]
        names += FLUX_FEATURES[: self.n_flux_features]
        names += [feature_name(name, category) for name, values in self.categories.items() for category in values]
        return _distinct(names + (self.neighbors.names if self.neighbors else []))

    @property
    def neighbor_names(self) -> list[str]:
        """The features that neighbours give."""
        return self.feature_names[-len(self.neighbors.names) :] if self.neighbors else []

    @property
    def numeric_names(self) -> list[str]:
        """The features that are numbers: raw, derived and of light curves, without booleans and categories."""
        count = len(self.numbers) + len(self.derived) + self.n_flux_features
        booleans = {place for place, name in enumerate(self.numbers) if self.kinds[name] == "boolean"}
        return [name for place, name in enumerate(self.feature_names[:count]) if place not in booleans]

    def neighborhood(self, k: int, by: Sequence[str], means: Sequence[str], targets: Sequence[str]) -> Neighborhood:
        """Name the features of ``features.neighbors``, after checking its columns.

        Parameters
        ----------
        k : int
            How many neighbours.
        by, means : sequences of str
            Raw or derived columns that span the distance, and those that are averaged.
        targets : sequence of str
            Names of what is averaged of the target: itself, or each of several labels.

        Raises
        ------
        PipelineError
            When it names a column that is neither a number column nor a derived one.
        """
        numbers = [name for name in self.numbers if self.kinds[name] == "number"]
        features = dict(zip([*self.numbers, *self.derived], self.feature_names, strict=False))
        for key, named in (("by", by), ("means", means)):
            for column in named:
                if column not in [*numbers, *self.derived]:
                    raise PipelineError(
                        f"features.neighbors.{key} uses {column!r}, which is no number among the inputs",
                        f"use some of {', '.join([*numbers, *self.derived])}",
                    )
        spanned, averaged = [features[name] for name in by], [features[name] for name in means]
        names = ["neighbors_" + feature_name(name) for name in (*targets, *averaged, "distance")]
        return Neighborhood(k, spanned, averaged, names)

    def with_neighbors(self, X: pd.DataFrame, y: NDArray[np.float64], what: Neighborhood) -> Self:
        """Return this transformer with the rows of `X`, its own features of the training rows, as neighbours."""
        return replace(self, neighbors=Neighbors.fit(X, y, what))

    def transform(self, rows: pd.DataFrame, only: Sequence[str] | None = None) -> pd.DataFrame:
        """Compute the features of raw rows.

        Parameters
        ----------
        rows : DataFrame, shape (n_rows, n_columns)
            At least the columns of `kinds`, in any order.
        only : sequence of str, optional
            The features wanted; all when absent.

        Returns
        -------
        DataFrame of float32, shape (n_rows, n_features)
            As XGBoost computes. Missing numbers stay missing (NaN), which it handles itself.
        """
        numbers = {name: as_numbers(rows[name], kind) for name, kind in self.kinds.items() if kind != "text"}
        indicators = (_indicators(as_text(rows[name]), values) for name, values in self.categories.items())
        names = self.feature_names if only is None else list(only)
        return pd.DataFrame(self._matrix(numbers, indicators, names), rows.index, names, copy=False)

    def of_values(self, columns: Mapping[str, Sequence[Any]], only: Sequence[str]) -> Matrix:
        """Compute the features of raw rows whose values are known to be right, without pandas, which takes longer.

        Parameters
        ----------
        columns : mapping of str to sequence, length n_rows
            The columns of `kinds`: float, bool or str, or None where a value is missing.
        only : sequence of str
            The features wanted.

        Returns
        -------
        array of float32, shape (n_rows, n_features)
            What `transform` gives for a table of these values.
        """
        numbers = {
            name: without_too_large(np.array(columns[name], dtype=np.float64))  # None becomes NaN
            for name, kind in self.kinds.items()
            if kind != "text"
        }
        indicators = (_indicators_of_values(columns[name], values) for name, values in self.categories.items())
        return self._matrix(numbers, indicators, only)

    def _matrix(
        self, numbers: dict[str, NDArray[np.float64]], indicators: Iterable[list[Column]], only: Sequence[str]
    ) -> Matrix:
        """Return features of raw numbers and of the 0 and 1 of each text column's categories, column after column."""
        columns = [numbers[name].astype(np.float32) for name in self.numbers]
        columns += [compute(parse(name, formula), numbers).astype(np.float32) for name, formula in self.derived.items()]
        if self.flux:
            columns += list(flux_features(np.column_stack([numbers[name] for name in self.flux_columns])).T)
        for of_column in indicators:
            columns += of_column
        found = dict(zip(self.feature_names, columns, strict=False))
        n_rows = len(columns[0])
        del columns
        if self.neighbors and set(only) & set(self.neighbor_names):
            near = self.neighbors.transform(np.column_stack([found[name] for name in self.neighbors.by]))
            found |= dict(zip(self.neighbor_names, near.T, strict=True))
        matrix = np.empty((n_rows, len(only)), dtype=np.float32, order="F")
        for place, name in enumerate(only):
            matrix[:, place] = found.pop(name)  # so that all of it is in memory once
        return matrix

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the transformer of a logged model from the model's folder."""
        stored = json.loads((folder / FEATURES_FILE).read_text(encoding="utf-8"))["transformer"]
        near = folder / NEIGHBORS_FILE
        return cls(**stored, neighbors=Neighbors.load(near) if near.exists() else None)

    def to_dict(self) -> dict[str, Any]:
        """Return all that was fitted, as plain values for JSON; neighbours are stored as arrays of their own."""
        return {"kinds": self.kinds, "categories": self.categories, "derived": self.derived, "flux": self.flux}


def _indicators(texts: pd.Series, categories: list[str]) -> list[Column]:
    """Return for each category where it is, as 0 and 1."""
    texts = texts.where(texts.isin(categories), texts.str.removesuffix(SUFFIX))
    return [np.asarray(texts == category, dtype=np.float32) for category in categories]


def _indicators_of_values(values: Sequence[str | None], categories: list[str]) -> list[Column]:
    places = {category: place for place, category in enumerate(categories)}
    found = [
        places.get(value, places.get(value.removesuffix(SUFFIX), -1)) if value is not None else -1 for value in values
    ]
    indicators = np.array(found)[:, None] == np.arange(len(categories))
    return list(indicators.T.astype(np.float32))


def _check_derived(name: str, formula: str, kinds: dict[str, Kind]) -> None:
    if name in kinds:
        raise PipelineError(f"dataset.derived.{name} has the name of a column", "give the derived column another name")
    for column in columns_of(parse(name, formula)):
        if column not in kinds:
            raise PipelineError(
                f"dataset.derived.{name} uses {column!r}, which is not an input column",
                f"use one of {', '.join(kind for kind in kinds if kinds[kind] != 'text')}",
            )
        if kinds[column] == "text":
            raise PipelineError(
                f"dataset.derived.{name} uses {column!r}, which holds categories", "use number columns in formulas"
            )


def _distinct(names: list[str]) -> list[str]:
    """Append _2, _3, … to names that appeared before."""
    taken: set[str] = set()
    distinct = []
    for name in names:
        candidate, count = name, 1
        while candidate in taken:
            count += 1
            candidate = f"{name}_{count}"
        taken.add(candidate)
        distinct.append(candidate)
    return distinct
