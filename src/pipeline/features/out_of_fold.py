"""Compute features learned from the target for the training rows, without target leakage."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.features.kinds.interface import Target
from pipeline.features.source import Matrix, Source
from pipeline.features.transformer import FeatureTransformer

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class OutOfFold:
    """Transformers that are each fitted on the rows outside a fold, for the rows of that fold.

    Attributes
    ----------
    transformers : sequence of FeatureTransformer
        One for each fold.
    folds : array of int, shape (n_rows,)
        The fold of each row; -1 for rows in no fold, such as the earliest rows of a split by time.
    """

    transformers: Sequence[FeatureTransformer]
    folds: NDArray[np.int8]

    @classmethod
    def fit(
        cls,
        transformer: FeatureTransformer,
        source: Source,
        target: Target,
        settings: Mapping[str, Any],
        folds: Iterable[tuple[Rows, Rows]],
        positions: Rows,
        n_rows: int,
    ) -> Self:
        """Fit a transformer for each fold.

        Parameters
        ----------
        transformer : FeatureTransformer
            Fitted with `FeatureTransformer.with_target`.
        source : Source
            The rows to learn from.
        target : Target
            The target of these rows.
        settings : mapping of str to any
            As for `FeatureTransformer.fit`.
        folds : iterable of (fit_rows, rows)
            Positions in the table of the rows to fit on, and of those to compute features for.
        positions : array of int
            Positions of the rows of `source` in the table.
        n_rows : int
            Number of rows of the table.
        """
        numbers = np.full(n_rows, -1, dtype=np.int8)
        transformers = []
        for number, (fit_rows, rows) in enumerate(folds):
            numbers[rows] = number
            is_fitted_on = np.zeros(n_rows, dtype=np.bool_)
            is_fitted_on[fit_rows] = True
            chosen = np.flatnonzero(is_fitted_on[positions])
            transformers.append(transformer.with_target(source.take(chosen), target.take(chosen), settings))
        return cls(transformers, numbers)

    def compute(self, source: Source, folds: NDArray[np.int8], names: Sequence[str]) -> Matrix:
        """Compute features of some rows of the table.

        Parameters
        ----------
        source : Source
        folds : array of int, shape (n_rows,)
            The fold of each row: a part of `OutOfFold.folds`.
        names : sequence of str
            Names of features that are learned from the target.

        Returns
        -------
        array of float32, shape (n_rows, n_features)
            NaN for rows that are in no fold.
        """
        out = np.full((source.n_rows, len(names)), np.nan, dtype=np.float32)
        for number, transformer in enumerate(self.transformers):
            rows = np.flatnonzero(folds == number)
            out[rows] = transformer.compute(source.take(rows), names)
        return out
