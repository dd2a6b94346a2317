"""Features that are learnt from the target, for the training rows themselves: no row sees its own target."""

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
    """Compute the features of training rows from rows of other folds.

    Parameters
    ----------
    transformer : FeatureTransformer
        Fitted by `FeatureTransformer.with_target`.
    source : Source
        The training rows.
    target : Target
    settings : mapping of str to any
    folds : sequence of (others, rows)
        Positions in the training rows; rows that are in no fold, such as the earliest in time, get NaN.

    Returns
    -------
    array of float32, shape (n_rows, len(transformer.target_names))
    """
    out = np.full((source.n_rows, len(transformer.target_names)), np.nan, dtype=np.float32)
    for others, rows in folds:
        fitted = transformer.with_target(source.take(others), target.take(others), settings)
        out[rows] = fitted.compute(source.take(rows), fitted.target_names)
    return out
