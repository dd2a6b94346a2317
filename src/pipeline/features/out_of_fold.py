"""Compute features learned from the target for the training rows, without target leakage."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.features.kinds.interface import Target
from pipeline.features.source import Matrix, Source
from pipeline.features.transformer import FeatureTransformer

Rows = NDArray[np.intp]


def out_of_fold(
    transformer: FeatureTransformer,
    source: Source,
    target: Target,
    settings: Mapping[str, Any],
    folds: Sequence[tuple[Rows, Rows]],
) -> Matrix:
    """Compute the features of each fold's rows with a transformer fitted on the other folds.

    Parameters
    ----------
    transformer : FeatureTransformer
        Fitted with `FeatureTransformer.with_target`.
    source : Source
        The training rows.
    target : Target
    settings : mapping of str to any
        As for `FeatureTransformer.fit`.
    folds : sequence of (fit_rows, rows)
        Row numbers to fit on and to compute features for.

    Returns
    -------
    array of float32, shape (n_rows, len(transformer.target_names))
        NaN for rows that are in no fold, such as the earliest rows of a split by time.
    """
    out = np.full((source.n_rows, len(transformer.target_names)), np.nan, dtype=np.float32)
    for fit_rows, rows in folds:
        fitted = transformer.with_target(source.take(fit_rows), target.take(fit_rows), settings)
        out[rows] = fitted.compute(source.take(rows), fitted.target_names)
    return out
