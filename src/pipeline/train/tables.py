"""The prepared tables, as raw inputs and as features."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import PipelineError, TableError
from pipeline.features.transformer import FeatureTransformer
from pipeline.learn.learner import FoldTables
from pipeline.learn.task import Task
from pipeline.params.schema import Params
from pipeline.support.files import read_json, sha256
from pipeline.support.paths import DATA_PROFILE, TEST_TABLE, TRAIN_TABLE
from pipeline.tables.split import Rows, fold_rows, strata_of
from pipeline.train.dataset_input import telling_rows
from pipeline.train.neighbor_learner import NeighborLearner
from pipeline.train.reference_profile import Profile, profile_of_inputs

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

EXAMPLE_ROWS = 5
PREPARE = "dvc repro -f -s prepare"


@dataclass(frozen=True)
class SearchFold:
    """A division of the rows that the search and cross-validation see.

    Attributes
    ----------
    train, valid : arrays of int
        Positions in the training rows.
    near : (DataFrame, DataFrame), optional
        The neighbour features of those rows, learnt from `train` alone.
    """

    train: Rows
    valid: Rows
    near: tuple[pd.DataFrame, pd.DataFrame] | None


@dataclass(frozen=True)
class Tables:
    """What an experiment is trained and tested on.

    Attributes
    ----------
    example : DataFrame, shape (5, n_inputs)
        The first training rows as prepared: raw input columns only.
    X_train, X_test : DataFrames of float32, shapes (n_train, n_features) and (n_test, n_features)
        Neighbours of a training row are of other folds than its own.
    y_train, y_test : arrays of float64 or, in a classification, of class numbers; shapes (n_train,) and (n_test,)
    folds : sequence of SearchFold
        Over all training rows, or over ``search.max_rows`` of them.
    transformer : FeatureTransformer
        Fitted on the training rows.
    profile : dict
        What stage prepare recorded of them.
    task : Task
    telling : dict of str to DataFrame
        Of the tables "train" and "test" the few rows that tell MLflow their types.
    rows : dict of str to DataFrame
        The prepared tables "train" and "test", where a function of the user's judges by them; else empty.
    scaler : StandardScaler
        With mean and deviation of every feature, in order.
    reference : dict
        What `profile_of_inputs` says of the training rows.
    """

    example: pd.DataFrame
    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: NDArray[Any]
    y_test: NDArray[Any]
    folds: Sequence[SearchFold]
    transformer: FeatureTransformer
    profile: dict[str, Any]
    task: Task
    telling: dict[str, pd.DataFrame]
    rows: dict[str, pd.DataFrame]
    scaler: "StandardScaler"
    reference: Profile

    @property
    def n_search_rows(self) -> int:
        """How many training rows the search and cross-validation see."""
        return len(np.unique(np.concatenate([np.concatenate([fold.train, fold.valid]) for fold in self.folds])))

    def fold_tables(self, features: list[str]) -> Iterator[FoldTables]:
        """Yield the features and targets of each fold, one fold at a time."""
        for fold in self.folds:
            parts = [self.X_train.iloc[fold.train][features], self.X_train.iloc[fold.valid][features]]
            for part, near in zip(parts, fold.near or (), strict=False):
                learnt = [name for name in features if name in near]
                part[learnt] = near[learnt].to_numpy()
            yield parts[0], self.y_train[fold.train], parts[1], self.y_train[fold.valid]


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
    transformer = FeatureTransformer.fit(train[inputs], dataset.derived, params.features.flux)
    X_train = transformer.transform(train)
    y_train = task.encode(train[target])
    rows = _search_rows(train, params)
    divisions = [
        (rows[fold], rows[valid])
        for fold, valid in fold_rows(train.iloc[rows], dataset, params.train.cv_folds, params.train.seed)
    ]
    near: list[tuple[pd.DataFrame, pd.DataFrame] | None] = [None] * len(divisions)
    if params.features.neighbors:
        learner = NeighborLearner(params, transformer, train, X_train, y_train, task)
        near = [learner.of_fold(*division) for division in divisions]
        transformer = learner.transformer
        X_train[transformer.neighbor_names] = learner.of_training_rows()
    X_test = transformer.transform(test)
    if transformer.neighbors:  # without the tree that was grown to look up the test rows
        transformer = replace(transformer, neighbors=replace(transformer.neighbors))
    return Tables(
        example=train[inputs].head(EXAMPLE_ROWS).copy(),
        X_train=X_train,
        X_test=X_test,
        y_train=y_train,
        y_test=task.encode(test[target]),
        folds=[SearchFold(*division, learnt) for division, learnt in zip(divisions, near, strict=True)],
        transformer=transformer,
        profile=profile,
        task=task,
        telling={"train": telling_rows(train).copy(), "test": telling_rows(test).copy()},
        rows={"train": train, "test": test} if judged_by_rows else {},
        scaler=_scaler(profile["scaler"], transformer, X_train),
        reference=profile_of_inputs(train, X_train, transformer),
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
            "name the positive one of two labels (in quotes: YAML takes yes and no for true and false), or remove it",
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
        numbers = {*transformer.numeric_names, *transformer.neighbor_names}
        if name not in known and name in numbers and X[name].notna().any():
            values = X[name].to_numpy(np.float64)  # whose squares are finite
            mean, variance = np.nanmean(values), np.nanvar(values)
        scaler.mean_[place], scaler.var_[place] = mean, variance
    deviation = np.sqrt(scaler.var_)
    scaler.scale_ = np.where(deviation >= np.finfo(np.float32).tiny, deviation, 1.0)  # by less, 32 bits cannot divide
    scaler.n_samples_seen_ = len(X)
    return scaler


def scaler_of(scaler: "StandardScaler", features: Sequence[str]) -> "StandardScaler":
    """Return the scaler of some of the features."""
    from copy import copy

    places = [list(scaler.feature_names_in_).index(name) for name in features]
    chosen = copy(scaler)
    for name in ("mean_", "var_", "scale_", "feature_names_in_"):
        setattr(chosen, name, getattr(scaler, name)[places])
    chosen.n_features_in_ = len(places)
    return chosen


def columns_of(X: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return some columns of a table as views; selecting them with ``X[names]`` would copy them."""
    return pd.DataFrame({name: X[name] for name in names}, copy=False)


def _search_rows(train: pd.DataFrame, params: Params) -> Rows:
    """Return the positions of the training rows that the search sees, in order; where folds have strata, so has it."""
    n_rows, max_rows, seed = len(train), params.train.search.max_rows, params.train.seed
    if n_rows <= max_rows:
        return np.arange(n_rows)
    if params.dataset.split.strategy != "stratified":
        return np.sort(np.random.default_rng(seed).choice(n_rows, max_rows, replace=False))
    from sklearn.model_selection import train_test_split

    strata = strata_of(train, params.dataset)
    try:
        drawn, _ = train_test_split(np.arange(n_rows), train_size=max_rows, random_state=seed, stratify=strata)
    except ValueError as error:
        raise TableError(
            f"no {max_rows:,} rows that have every label can be drawn for the search: {error}",
            "raise train.search.max_rows, join rare values, or use dataset.split.strategy: random in params.yaml",
        ) from None
    return np.sort(drawn)


def _read(path: Path, expected_sha256: str, columns: list[str] | None = None) -> pd.DataFrame:
    if not path.exists():
        raise PipelineError(f"{path} does not exist", f"run: {PREPARE}")
    if sha256(path) != expected_sha256:
        raise PipelineError(f"{path} is not the table that {DATA_PROFILE} describes", f"run: {PREPARE}")
    return pd.read_parquet(path, columns=columns)
