"""Fit XGBoost on features that are on disk, for tables larger than memory."""

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.train.autologging import replaced
from pipeline.train.feature_rows import FeatureRows, RowsOnDisk

if TYPE_CHECKING:
    from xgboost import Booster, ExtMemQuantileDMatrix

FEW_ROWS = 100  # rows that an estimator is given in place of all: autologging's example is the first of them


@contextmanager
def rows_to_fit(X: FeatureRows, y: NDArray[Any]) -> Iterator[tuple[pd.DataFrame, NDArray[Any]]]:
    """Yield the rows to fit an estimator on within the block.

    For features on disk these are a few rows, but an XGBoost estimator that is fitted on them learns from all rows.

    Parameters
    ----------
    X : FeatureRows, shape (n_rows, n_features)
    y : array, shape (n_rows,)
        The encoded target.
    """
    if not isinstance(X, RowsOnDisk):
        yield X, y
        return
    from xgboost import sklearn

    original: Any = vars(sklearn)["train"]

    @functools.wraps(original)  # autologging reads the signature
    def train(params: dict[str, Any], dtrain: Any, num_boost_round: int = 10, **options: Any) -> "Booster":
        with tempfile.TemporaryDirectory(dir=X.files[0].parent) as cache:
            data = _external_matrix(X, y, params, Path(cache))
            booster: Booster = original(params, data, num_boost_round, **options)
            booster.reset()  # it refers to the data, whose files are removed
            del data
            return booster

    rows = _few_rows(y)
    with replaced(sklearn, "train", train):
        yield X.take(rows), np.asarray(y[rows])


def _few_rows(y: NDArray[Any]) -> NDArray[np.intp]:
    """Return the first rows and, for a classification, the first row of each class."""
    rows = np.arange(min(FEW_ROWS, len(y)))
    return np.union1d(rows, np.unique(y, return_index=True)[1]) if y.dtype.kind == "i" else rows


def _external_matrix(X: RowsOnDisk, y: NDArray[Any], params: dict[str, Any], cache: Path) -> "ExtMemQuantileDMatrix":
    """Return the binned rows, which XGBoost keeps in the folder `cache`."""
    from xgboost import DataIter, ExtMemQuantileDMatrix

    class Batches(DataIter):
        def __init__(self) -> None:
            super().__init__(cache_prefix=str(cache / "bins"))
            self.reset()

        def reset(self) -> None:
            self.batches, self.start = X.batches(), 0

        def next(self, input_data: Any) -> bool:
            batch = next(self.batches, None)
            if batch is None:
                return False
            end = self.start + len(batch)
            input_data(data=batch, label=y[self.start : end])
            self.start = end
            return True

    return ExtMemQuantileDMatrix(Batches(), max_bin=params.get("max_bin"), nthread=params.get("nthread"))
