"""Fit the scaler to the training rows, part by part."""

from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import TableError
from pipeline.features.transformer import FeatureTransformer
from pipeline.params.schema import DatasetParams
from pipeline.support.threads import Runner
from pipeline.tables.scaling import scaler_of

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler


class Moments(NamedTuple):
    """Number of present values, mean, and sum of squared deviations of each feature in some rows."""

    n: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]


def fit_scaler(
    paths: Sequence[Path],
    example: pd.DataFrame,
    params: DatasetParams,
    n_rows: int,
    run: Runner,
    encoded: frozenset[str],
) -> "StandardScaler":
    """Fit a scaler to the numeric features, raw and derived, or to the categorical ones if there are none.

    Parameters
    ----------
    paths : sequence of Path
        The files of the training rows, in order.
    example : DataFrame
        Rows with all categories of the training rows, from `example_rows`.
    params : DatasetParams
    n_rows : int
        Number of training rows.
    run : callable
        `in_threads`, or `Cluster.run`.
    encoded : frozenset of str
        The `FeaturesParams.encoded_columns`, whose features are not known yet.

    Raises
    ------
    TableError, FormulaError
        If there are no features, one has no value in any training row, or a formula is invalid.
    """
    transformer = FeatureTransformer.fit(example, {"derived": params.derived})
    if not transformer.feature_names and not encoded:
        raise TableError(
            f"{params.path}: no column has a value in any of the {n_rows:,} training rows",
            "add values, or drop fewer columns in params.yaml",
        )
    names = transformer.numeric_names or transformer.feature_names
    if not names:
        return scaler_of([], np.zeros(0), np.zeros(0), n_rows)
    moments = reduce(_merge, run(partial(_moments, transformer, names), paths, "prepare: scaler, part"))
    if not moments.n.all():
        raise TableError(
            f"{params.path}: {names[int(moments.n.argmin())]!r} has no value in any of the {n_rows:,} training rows",
            "add the column to dataset.drop, or correct or remove its formula in dataset.derived, in params.yaml",
        )
    return scaler_of(names, moments.mean, moments.squares / moments.n, n_rows)


def _moments(transformer: FeatureTransformer, names: Sequence[str], path: Path) -> Moments:
    matrix = transformer.compute(transformer.source(pd.read_parquet(path, use_threads=False)), names)
    return Moments(*np.array([_moments_of(column) for column in matrix.T]).T)


def _moments_of(column: NDArray[np.float32]) -> tuple[int, float, float]:
    missing = np.isnan(column)
    values = (column[~missing] if missing.any() else column).astype(np.float64)
    if not len(values):
        return 0, 0.0, 0.0
    # Differences from any value lose less precision than the values do, and none if the column is constant.
    origin = values[0]
    values -= origin
    mean = values.mean()
    values -= mean
    return len(values), origin + mean, np.square(values, out=values).sum()


def _merge(first: Moments, second: Moments) -> Moments:
    """Return the moments of two sets of rows (Chan, Golub and LeVeque, 1983)."""
    n = first.n + second.n
    share = second.n / np.maximum(n, 1)
    difference = second.mean - first.mean
    return Moments(
        n,
        first.mean + share * difference,
        first.squares + second.squares + first.n * share * np.square(difference),
    )
