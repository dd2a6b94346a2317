"""The neighbour features of training rows, learnt so that no row sees its own target or that of a validation row."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import TableError
from pipeline.features.neighbors import Neighbors, out_of_fold
from pipeline.features.transformer import FeatureTransformer
from pipeline.learn.task import Task
from pipeline.params.schema import Params, SplitParams
from pipeline.tables.split import Rows, fold_rows


class NeighborLearner:
    """Computes neighbour features of training rows from other folds than their own.

    Attributes
    ----------
    transformer : FeatureTransformer
        With all training rows as neighbours, for the rows to be predicted.
    """

    def __init__(
        self,
        params: Params,
        transformer: FeatureTransformer,
        train: pd.DataFrame,
        X: pd.DataFrame,
        y: NDArray[Any],
        task: Task,
    ) -> None:
        assert params.features.neighbors is not None
        target = params.dataset.target
        if task.n_classes > 2:  # the share of each label among the neighbours
            names, y = [f"{target} {text}" for text in task.texts], np.eye(task.n_classes)[y]
        else:
            names, y = [target], y.astype(np.float64)
        near = params.features.neighbors
        self.what = transformer.neighborhood(near.k, near.by, near.means, names)
        self.transformer = transformer.with_neighbors(X, y, self.what)
        self.params = params
        self.train = train
        strategy = params.dataset.split.strategy
        split = SplitParams() if strategy == "stratified" else params.dataset.split  # the rare need not be everywhere
        self.dataset = params.dataset.model_copy(update={"split": split})
        self.X = X[list(dict.fromkeys(self.what.by + self.what.means))]
        self.y = y

    def of_training_rows(self) -> pd.DataFrame:
        """Return the features of all training rows, each from other folds."""
        return self._out_of_fold(np.arange(len(self.y)))

    def of_fold(self, train: Rows, valid: Rows) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the features of a fold's training rows, out of fold again, and of its validation rows."""
        near = Neighbors.fit(self.X.iloc[train], self.y[train], self.what)
        return self._out_of_fold(train), self._table(near.transform(self.X[near.by].iloc[valid].to_numpy()), valid)

    def _out_of_fold(self, rows: Rows) -> pd.DataFrame:
        # One fold less than over all rows: a fold's own training rows may be too few, or of too few groups, for more.
        n_folds = max(2, self.params.train.cv_folds - 1)
        try:
            folds = fold_rows(self.train.iloc[rows], self.dataset, n_folds, self.params.train.seed)
        except TableError as error:
            raise TableError(
                f"features.neighbors divides the training rows of a fold into folds again: {error.problem}",
                "remove features.neighbors from params.yaml, or add rows",
            ) from None
        return self._table(out_of_fold(self.X.iloc[rows], self.y[rows], folds, self.what), rows)

    def _table(self, values: NDArray[np.float32], rows: Rows) -> pd.DataFrame:
        return pd.DataFrame(values, columns=self.transformer.neighbor_names, index=self.X.index[rows])
