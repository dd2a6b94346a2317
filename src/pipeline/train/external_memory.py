"""Fit XGBoost on features that are on disk, for tables larger than memory."""

import functools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
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

Train = Callable[[RowsOnDisk, Mapping[str, Any], int, Sequence[Any]], "Booster"]
FEW_ROWS = 100  # rows that an estimator is given in place of all: autologging's example is the first of them


@contextmanager
def rows_to_fit(X: FeatureRows, y: NDArray[Any], train: Train) -> Iterator[tuple[pd.DataFrame, NDArray[Any]]]:
    """Yield the rows to fit an estimator on within the block.

    For features on disk these are a few rows, but an XGBoost estimator that is fitted on them learns from all rows.

    Parameters
    ----------
    X : FeatureRows, shape (n_rows, n_features)
    y : array, shape (n_rows,)
        The encoded target.
    train : callable
        ``train(X, params, n_rounds, callbacks)`` returns the booster fitted on features on disk.
    """
    if not isinstance(X, RowsOnDisk):
        yield X, y
        return
    from xgboost import sklearn

    original: Any = vars(sklearn)["train"]

    @functools.wraps(original)  # autologging reads the signature
    def train_on_all(params: dict[str, Any], dtrain: Any, num_boost_round: int = 10, **options: Any) -> "Booster":
        return train(X, params, num_boost_round, options.get("callbacks") or [])

    rows = _few_rows(y)
    with replaced(sklearn, "train", train_on_all):
        yield X.take(rows), np.asarray(y[rows])


def train_here(X: RowsOnDisk, params: Mapping[str, Any], n_rounds: int, callbacks: Sequence[Any]) -> "Booster":
    """Return the booster fitted in this process."""
    from xgboost.training import train  # not `xgboost.train`, which autologging patches

    with tempfile.TemporaryDirectory(dir=X.files[0].parent) as cache:
        data = external_matrix(X, params, Path(cache))
        booster: Booster = train(dict(params), data, n_rounds, callbacks=callbacks)
        booster.reset()  # it refers to the data, whose files are removed
        del data
    return booster


def _few_rows(y: NDArray[Any]) -> NDArray[np.intp]:
    """Return the first rows and, for a classification, the first row of each class."""
    rows = np.arange(min(FEW_ROWS, len(y)))
    return np.union1d(rows, np.unique(y, return_index=True)[1]) if y.dtype.kind == "i" else rows


def external_matrix(
    X: RowsOnDisk, params: Mapping[str, Any], cache: Path, start: int = 0, end: int | None = None
) -> "ExtMemQuantileDMatrix":
    """Return the rows from `start` to `end` in bins, which XGBoost keeps in the folder `cache`."""
    from xgboost import DataIter, ExtMemQuantileDMatrix

    assert X.target is not None
    y = np.load(X.target, mmap_mode="r")

    class Batches(DataIter):
        def __init__(self) -> None:
            super().__init__(cache_prefix=str(cache / "bins"))
            self.reset()

        def reset(self) -> None:
            self.batches, self.row = X.batches(start, end), start

        def next(self, input_data: Any) -> bool:
            batch = next(self.batches, None)
            if batch is None:
                return False
            rows = slice(self.row, self.row + len(batch))
            input_data(data=batch, label=y[rows])
            self.row = rows.stop
            return True

    return ExtMemQuantileDMatrix(
        Batches(), max_bin=params.get("max_bin"), nthread=params.get("nthread", params.get("n_jobs"))
    )
