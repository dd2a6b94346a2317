"""The prepared tables, as raw inputs and as features."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features import FeatureTransformer, non_features
from pipeline.files import read_json, sha256
from pipeline.params import Params
from pipeline.paths import DATA_PROFILE, TEST_TABLE, TRAIN_TABLE
from pipeline.split import Rows, fold_rows

PREPARE = "dvc repro -f -s prepare"


@dataclass(frozen=True)
class Tables:
    """What an experiment is trained and tested on.

    Attributes
    ----------
    train, test : DataFrames, shapes (n_train, n_columns) and (n_test, n_columns)
        Rows as prepared, with the target.
    inputs : list of str
        The raw input columns.
    X_train, X_test : DataFrames of float64, shapes (n_train, n_features) and (n_test, n_features)
    y_train, y_test : arrays of float64, shapes (n_train,) and (n_test,)
    folds : sequence of (train, valid)
        Positions in the training rows.
    transformer : FeatureTransformer
        Fitted on the training rows.
    profile : dict
        What stage prepare recorded of them.
    """

    train: pd.DataFrame
    test: pd.DataFrame
    inputs: list[str]
    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: NDArray[np.float64]
    y_test: NDArray[np.float64]
    folds: Sequence[tuple[Rows, Rows]]
    transformer: FeatureTransformer
    profile: dict[str, Any]


def load_tables(folder: Path, params: Params) -> Tables:
    """Load what stage prepare wrote, and compute features and folds.

    Raises
    ------
    PipelineError
        When a table is missing or is not the one that was prepared.
    """
    profile = read_json(folder / DATA_PROFILE, PREPARE, "dataset", "sha256")
    if profile["dataset"] != params.dataset.model_dump():
        raise PipelineError("the tables were prepared with another dataset section of params.yaml", f"run: {PREPARE}")
    train = _read(folder / TRAIN_TABLE, profile["sha256"]["train"])
    test = _read(folder / TEST_TABLE, profile["sha256"]["test"])
    target = params.dataset.target
    unused = non_features(train, params.dataset)
    inputs = [name for name in train.columns if name not in unused]
    transformer = FeatureTransformer.fit(train[inputs], params.dataset.derived)
    return Tables(
        train=train,
        test=test,
        inputs=inputs,
        X_train=transformer.transform(train),
        X_test=transformer.transform(test),
        y_train=train[target].to_numpy(np.float64),
        y_test=test[target].to_numpy(np.float64),
        folds=fold_rows(train, params.dataset, params.train.cv_folds, params.train.seed),
        transformer=transformer,
        profile=profile,
    )


def _read(path: Path, expected_sha256: str) -> pd.DataFrame:
    if not path.exists():
        raise PipelineError(f"{path} does not exist", f"run: {PREPARE}")
    if sha256(path) != expected_sha256:
        raise PipelineError(f"{path} is not the table that {DATA_PROFILE} describes", f"run: {PREPARE}")
    return pd.read_parquet(path)
