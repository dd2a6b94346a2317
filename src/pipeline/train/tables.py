"""Load the prepared tables, and compute their features and folds."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.errors import PipelineError
from pipeline.features.kinds import target_kinds
from pipeline.features.out_of_fold import out_of_fold
from pipeline.features.transformer import FeatureTransformer
from pipeline.learn.task import Task
from pipeline.params.schema import Params
from pipeline.support.files import read_json, sha256
from pipeline.support.paths import DATA_PROFILE, TEST_TABLE, TRAIN_TABLE
from pipeline.tables.folds import compute_folds
from pipeline.tables.scaling import scaler_of
from pipeline.train.dataset_input import schema_sample
from pipeline.train.raw_rows_view import RawRowsView
from pipeline.train.reference_profile import Profile, profile_of_inputs
from pipeline.train.target_features import features_in_fold, target_of
from pipeline.train.training_data import SearchFold, TrainingData

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

EXAMPLE_ROWS = 5
PREPARE = "dvc repro -f -s prepare"


@dataclass(frozen=True)
class Tables:
    """The prepared tables, ready for training.

    Attributes
    ----------
    data : TrainingData
        Features, targets and folds.
    view : RawRowsView
        The steps from raw rows to a model with all features.
    reference : dict
        The profile of the training rows from `profile_of_inputs`.
    profile : dict
        The data profile of stage prepare.
    samples : dict of str to DataFrame
        A few rows of the tables "train" and "test" from which MLflow infers the schema.
    rows : dict of str to DataFrame
        The prepared tables "train" and "test" if a custom metrics function needs them; else empty.
    """

    data: TrainingData
    view: RawRowsView
    reference: Profile
    profile: dict[str, Any]
    samples: dict[str, pd.DataFrame]
    rows: dict[str, pd.DataFrame]


def load_tables(folder: Path, params: Params) -> Tables:
    """Return the tables of stage prepare, with their features and folds.

    Raises
    ------
    PipelineError
        When a table is missing or is not the prepared one, or the classes of the target are not valid.
    """
    profile = read_json(folder / DATA_PROFILE, PREPARE, "dataset", "sha256", "scaler")
    if profile["dataset"] != params.dataset.model_dump():
        raise PipelineError(
            "the tables were prepared with a different dataset section of params.yaml", f"run: {PREPARE}"
        )
    train = _read(folder / TRAIN_TABLE, profile["sha256"]["train"])
    dataset, target = params.dataset, params.dataset.target
    unused = dataset.non_features(train.columns)
    inputs = [str(name) for name in train.columns if name not in unused]
    needs_rows = params.evaluate.custom is not None
    test = _read(folder / TEST_TABLE, profile["sha256"]["test"], None if needs_rows else [*inputs, target])
    task = Task.from_target(train[target], dataset.task, dataset.positive)
    _check_classes(task, train[target], test[target], params)
    settings = params.feature_settings
    transformer = FeatureTransformer.fit(train[inputs], settings)
    X_train, y_train, folds = transformer.transform(train), task.encode(train[target]), compute_folds(train, params)
    learned: list[tuple[pd.DataFrame, pd.DataFrame] | None] = [None] * len(folds.searched)
    if target_kinds(settings):
        source, target_values = transformer.source(train), target_of(task, target, y_train)
        transformer = transformer.with_target(source, target_values, settings)
        learned = [features_in_fold(transformer, source, target_values, settings, fold) for fold in folds.searched]
        X_train[transformer.target_names] = out_of_fold(transformer, source, target_values, settings, folds.table)
    X_test = transformer.transform(test)
    transformer = transformer.without_caches()  # such as the search tree built for the test rows
    data = TrainingData(
        task=task,
        X_train=X_train,
        X_test=X_test,
        y_train=y_train,
        y_test=task.encode(test[target]),
        folds=[
            SearchFold(fold.train, fold.valid, features) for fold, features in zip(folds.searched, learned, strict=True)
        ],
        scaler=_scaler(profile["scaler"], transformer, X_train),
    )
    return Tables(
        data=data,
        view=RawRowsView(transformer, data.features, task, train[inputs].head(EXAMPLE_ROWS).copy()),
        reference=profile_of_inputs(train, X_train, transformer),
        profile=profile,
        samples={"train": schema_sample(train).copy(), "test": schema_sample(test).copy()},
        rows={"train": train, "test": test} if needs_rows else {},
    )


def _check_classes(task: Task, train: pd.Series, test: pd.Series, params: Params) -> None:
    if task.labels is None:
        return
    if task.n_classes < 2:
        raise PipelineError(
            f"{params.dataset.path}: {params.dataset.target!r} has only one class in the training rows, "
            f"{task.texts[0]!r}",
            "choose another dataset.target in params.yaml, or add rows of other classes",
        )
    positive = params.dataset.positive
    if positive is not None and (task.n_classes > 2 or str(positive) != task.texts[-1]):
        raise PipelineError(
            f"dataset.positive in params.yaml is {positive!r}, but {params.dataset.target!r} has the classes "
            f"{', '.join(task.texts)}",
            "name the positive class of a binary classification, or remove it",
        )
    unseen = sorted(set(test) - set(train))
    if unseen:
        raise PipelineError(
            f"{params.dataset.path}: {params.dataset.target!r} is {unseen[0]!r} in test rows but in no training row",
            "use dataset.split.strategy: stratified in params.yaml, or add or remove rows of that class",
        )


def _scaler(stored: dict[str, list[float]], transformer: FeatureTransformer, X: pd.DataFrame) -> "StandardScaler":
    """Return a scaler for all features, from the stored means and variances or, for other features, fitted here.

    Boolean and one-hot encoded features stay 0 and 1.
    """
    means, variances = np.zeros(X.shape[1]), np.ones(X.shape[1])
    for position, name in enumerate(X.columns):
        if name in stored:
            means[position], variances[position] = stored[str(name)]
        elif transformer.features[str(name)].is_number and X[name].notna().any():
            values = X[name].to_numpy(np.float64)  # their squares are finite in 64 bits
            means[position], variances[position] = np.nanmean(values), np.nanvar(values)
    return scaler_of([str(name) for name in X.columns], means, variances, len(X))


def _read(path: Path, expected_sha256: str, columns: list[str] | None = None) -> pd.DataFrame:
    if not path.exists():
        raise PipelineError(f"{path} does not exist", f"run: {PREPARE}")
    if sha256(path) != expected_sha256:
        raise PipelineError(f"{path} is not the table that {DATA_PROFILE} describes", f"run: {PREPARE}")
    return pd.read_parquet(path, columns=columns)
