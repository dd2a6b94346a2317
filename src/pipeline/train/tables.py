"""The prepared tables, as raw inputs and as features."""

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
from pipeline.tables.folds import folds_of
from pipeline.train.dataset_input import telling_rows
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
    """What stage prepare wrote, as a training uses it.

    Attributes
    ----------
    data : TrainingData
        What models are fitted and tested on.
    view : RawRowsView
        What stands between raw rows and a model of all features.
    reference : dict
        What `profile_of_inputs` says of the training rows.
    profile : dict
        What stage prepare recorded.
    samples : dict of str to DataFrame
        Of the tables "train" and "test" the few rows that tell MLflow their types.
    rows : dict of str to DataFrame
        The prepared tables "train" and "test", where a function of the user's judges by them; else empty.
    """

    data: TrainingData
    view: RawRowsView
    reference: Profile
    profile: dict[str, Any]
    samples: dict[str, pd.DataFrame]
    rows: dict[str, pd.DataFrame]


def load_tables(folder: Path, params: Params) -> Tables:
    """Load what stage prepare wrote, and compute features and folds.

    Raises
    ------
    PipelineError
        When a table is missing or is not the one that was prepared.
    """
    profile = read_json(folder / DATA_PROFILE, PREPARE, "dataset", "sha256", "scaler")
    if profile["dataset"] != params.dataset.model_dump():
        raise PipelineError("the tables were prepared with another dataset section of params.yaml", f"run: {PREPARE}")
    train = _read(folder / TRAIN_TABLE, profile["sha256"]["train"])
    dataset, target = params.dataset, params.dataset.target
    unused = dataset.non_features(train.columns)
    inputs = [str(name) for name in train.columns if name not in unused]
    judged_by_rows = params.evaluate.custom is not None
    test = _read(folder / TEST_TABLE, profile["sha256"]["test"], None if judged_by_rows else [*inputs, target])
    task = Task.of(train[target], dataset.task, dataset.positive)
    _check_labels(task, train[target], test[target], params)
    settings = params.feature_settings
    transformer = FeatureTransformer.fit(train[inputs], settings)
    X_train, y_train, folds = transformer.transform(train), task.encode(train[target]), folds_of(train, params)
    learnt: list[tuple[pd.DataFrame, pd.DataFrame] | None] = [None] * len(folds.searched)
    if target_kinds(settings):
        source, learnt_from = transformer.source(train), target_of(task, target, y_train)
        transformer = transformer.with_target(source, learnt_from, settings)
        learnt = [features_in_fold(transformer, source, learnt_from, settings, fold) for fold in folds.searched]
        X_train[transformer.target_names] = out_of_fold(transformer, source, learnt_from, settings, folds.table)
    X_test = transformer.transform(test)
    transformer = transformer.without_caches()  # such as the tree that was grown to look up the test rows
    data = TrainingData(
        task=task,
        X_train=X_train,
        X_test=X_test,
        y_train=y_train,
        y_test=task.encode(test[target]),
        folds=[SearchFold(fold.train, fold.valid, found) for fold, found in zip(folds.searched, learnt, strict=True)],
        scaler=_scaler(profile["scaler"], transformer, X_train),
    )
    return Tables(
        data=data,
        view=RawRowsView(transformer, data.features, task, train[inputs].head(EXAMPLE_ROWS).copy()),
        reference=profile_of_inputs(train, X_train, transformer),
        profile=profile,
        samples={"train": telling_rows(train).copy(), "test": telling_rows(test).copy()},
        rows={"train": train, "test": test} if judged_by_rows else {},
    )


def _check_labels(task: Task, train: pd.Series, test: pd.Series, params: Params) -> None:
    if task.labels is None:
        return
    if task.n_classes < 2:
        raise PipelineError(
            f"{params.dataset.path}: {params.dataset.target!r} has one label only among the training rows, "
            f"{task.texts[0]!r}",
            "choose another dataset.target in params.yaml, or add rows with other labels",
        )
    positive = params.dataset.positive
    if positive is not None and (task.n_classes > 2 or str(positive) != task.texts[-1]):
        raise PipelineError(
            f"dataset.positive in params.yaml is {positive!r}, and {params.dataset.target!r} has the labels "
            f"{', '.join(task.texts)}",
            "name the positive one of two labels, or remove it",
        )
    unseen = sorted(set(test) - set(train))
    if unseen:
        raise PipelineError(
            f"{params.dataset.path}: {params.dataset.target!r} is {unseen[0]!r} in test rows and in no training row",
            "use dataset.split.strategy: stratified in params.yaml, add rows of that label, or remove them",
        )


def _scaler(known: dict[str, list[float]], transformer: FeatureTransformer, X: pd.DataFrame) -> "StandardScaler":
    """Return a scaler of every feature: with stage prepare's numbers, and, for those it has not seen, fitted here.

    Booleans and categories stay 0 and 1.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(pd.DataFrame(np.zeros((1, X.shape[1]), np.float32), columns=X.columns))
    for place, name in enumerate(X.columns):
        mean, variance = known.get(name, (0.0, 1.0))
        if name not in known and transformer.features[str(name)].is_number and X[name].notna().any():
            values = X[name].to_numpy(np.float64)  # whose squares are finite
            mean, variance = np.nanmean(values), np.nanvar(values)
        scaler.mean_[place], scaler.var_[place] = mean, variance
    deviation = np.sqrt(scaler.var_)
    scaler.scale_ = np.where(deviation >= np.finfo(np.float32).tiny, deviation, 1.0)  # by less, 32 bits cannot divide
    scaler.n_samples_seen_ = len(X)
    return scaler


def _read(path: Path, expected_sha256: str, columns: list[str] | None = None) -> pd.DataFrame:
    if not path.exists():
        raise PipelineError(f"{path} does not exist", f"run: {PREPARE}")
    if sha256(path) != expected_sha256:
        raise PipelineError(f"{path} is not the table that {DATA_PROFILE} describes", f"run: {PREPARE}")
    return pd.read_parquet(path, columns=columns)
