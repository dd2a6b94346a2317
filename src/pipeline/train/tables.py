"""Load the prepared tables, and compute their features and folds."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.errors import PipelineError
from pipeline.features.transformer import FeatureTransformer
from pipeline.params.schema import DatasetParams, Params
from pipeline.support.cluster import Cluster
from pipeline.support.files import read_json
from pipeline.support.paths import DATA_PROFILE, TEST_TABLE, TRAIN_TABLE
from pipeline.support.threads import Runner, in_threads
from pipeline.tables.example_rows import example_rows
from pipeline.tables.folds import search_folds
from pipeline.tables.parts import PartedTable
from pipeline.tables.prepared import PREPARE, open_prepared, read_column
from pipeline.tables.scaling import scaler_of
from pipeline.tables.split import sample_rows, split_column
from pipeline.tables.table_report import MAX_ROWS as REPORT_ROWS
from pipeline.train.compute_features import compute_features
from pipeline.train.feature_rows import RowsOnDisk, take_rows
from pipeline.train.raw_rows_view import RawRowsView
from pipeline.train.reference_profile import Profile, profile_of_inputs
from pipeline.train.target import on_disk, read_targets
from pipeline.train.target_features import learn_from_target, rows_to_learn_from
from pipeline.train.training_data import SearchFold, TrainingData

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

EXAMPLE_ROWS = 5
PROFILE_ROWS = 500_000  # a share of rows is then exact to within 0.2 %


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
    preview : DataFrame
        A sample of the training rows for the table report.
    rows : dict of str to DataFrame
        The rows of the search ("train") and the test table, if a custom metrics function needs them; else empty.
    """

    data: TrainingData
    view: RawRowsView
    reference: Profile
    profile: dict[str, Any]
    samples: dict[str, pd.DataFrame]
    preview: pd.DataFrame
    rows: dict[str, pd.DataFrame]


def load_tables(
    folder: Path, params: Params, features_folder: Path | None = None, cluster: Cluster | None = None
) -> Tables:
    """Return the tables of stage prepare, with their features and folds.

    Parameters
    ----------
    folder : Path
        The pipeline folder.
    params : Params
    features_folder : Path, optional
        A folder to create, to which features and the training target are written; by default they stay in memory.
    cluster : Cluster, optional
        Its workers compute the features.

    Raises
    ------
    PipelineError
        When a table is missing or is not the prepared one, or the classes of the target are not valid.
    """
    folder = cluster.folder if cluster else folder  # workers may have another current folder
    profile = read_profile(folder, params.dataset)
    dataset, settings, seed = params.dataset, params.feature_settings, params.train.seed
    train = open_prepared(folder / TRAIN_TABLE, profile["sha256"]["train"])
    unused = dataset.non_features(list(train.types))
    inputs = [name for name in train.types if name not in unused]
    needs_rows = params.evaluate.custom is not None
    test_columns = None if needs_rows else [*inputs, dataset.target]
    test = open_prepared(folder / TEST_TABLE, profile["sha256"]["test"], test_columns)
    task, y_train, y_test = read_targets(train, test, params)
    target_file = features_folder and features_folder / "target.npy"
    if target_file:
        y_train = on_disk(y_train, target_file)
    split_table = _split_table(train, dataset)
    searched = search_folds(split_table, params)
    all_rows = np.arange(train.n_rows)
    learned_from, profiled = rows_to_learn_from(all_rows, params), sample_rows(all_rows, PROFILE_ROWS, seed)
    rows = train.take(np.unique(np.concatenate([searched.rows, profiled, learned_from])))
    types = {name: str(train.types[name]) for name in inputs}
    example = example_rows(types, profile["categories"])
    transformer = FeatureTransformer.fit(example, settings, sample=rows.loc[searched.rows])
    learned = learn_from_target(transformer, rows, learned_from, searched, split_table, task, y_train, params)
    transformer = learned.transformer
    if not transformer.feature_names:
        raise PipelineError(
            f"{dataset.path}: no input column has a feature, because no part of its dates varies ({', '.join(inputs)})",
            "add an input column, or remove one from dataset.drop in params.yaml",
        )
    run: Runner = cluster.run if cluster else in_threads
    folders = {name: features_folder and features_folder / name for name in ("train", "test")}
    X_train, train_sample = compute_features(train, transformer, learned.out_of_fold, folders["train"], run)
    X_test, test_sample = compute_features(test, transformer, None, folders["test"], run)
    if isinstance(X_train, RowsOnDisk):
        X_train = replace(X_train, target=target_file)
    transformer = transformer.without_caches()  # such as the search tree built for the test rows
    is_complete = len(searched.rows) == train.n_rows
    X_search = X_train if is_complete and isinstance(X_train, pd.DataFrame) else take_rows(X_train, searched.rows)
    data = TrainingData(
        task=task,
        X_train=X_train,
        X_test=X_test,
        y_train=y_train,
        y_test=y_test,
        X_search=X_search,
        y_search=np.asarray(y_train[searched.rows]),
        folds=[
            SearchFold(fold.train, fold.valid, own) for fold, own in zip(searched.folds, learned.in_folds, strict=True)
        ],
        scaler=_scaler(profile["scaler"], transformer, X_search),
    )
    return Tables(
        data=data,
        view=RawRowsView(transformer, data.features, task, train.take(all_rows[:EXAMPLE_ROWS])[inputs]),
        reference=profile_of_inputs(rows.loc[profiled], transformer),
        profile=profile,
        samples={"train": train_sample, "test": test_sample},
        preview=rows.loc[np.sort(sample_rows(profiled, REPORT_ROWS, seed))],
        rows={"train": rows.loc[searched.rows], "test": test.take(np.arange(test.n_rows))} if needs_rows else {},
    )


def read_profile(folder: Path, dataset: DatasetParams) -> dict[str, Any]:
    """Return the data profile of stage prepare.

    Raises
    ------
    PipelineError
        When there is none, or it is that of another section ``dataset``.
    """
    profile = read_json(folder / DATA_PROFILE, PREPARE, "dataset", "rows", "sha256", "categories", "scaler")
    if profile["dataset"] != dataset.model_dump():
        raise PipelineError(
            "the tables were prepared with a different dataset section of params.yaml", f"run: {PREPARE}"
        )
    return profile


def _split_table(train: PartedTable, dataset: DatasetParams) -> pd.DataFrame:
    """Return the column of the training rows that decides how they are split into folds, or no column."""
    column = split_column(dataset)
    if column is None or dataset.split.strategy == "time":  # the rows are in order of time
        return pd.DataFrame(index=pd.RangeIndex(train.n_rows))
    return pd.concat(read_column(train, column), ignore_index=True).to_frame()


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
