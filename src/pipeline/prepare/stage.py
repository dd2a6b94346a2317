"""Stage 1, prepare: turn a raw file into validated training and test tables, a scaler and a profile."""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import TableError
from pipeline.features.transformer import FeatureTransformer
from pipeline.params.schema import DatasetParams
from pipeline.prepare.contract import check_contract, select_columns
from pipeline.support.files import atomic_write, sha256
from pipeline.support.paths import DATA_PROFILE, SCALER, TEST_TABLE, TRAIN_TABLE, remove_unfinished_outputs
from pipeline.tables.appended_predictions import appended_predictions, split_with_predictions
from pipeline.tables.duplicates import duplicated
from pipeline.tables.read import read_table
from pipeline.tables.split import split_rows

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

CHUNK = 100_000  # rows in each partial fit of the scaler


@dataclass(frozen=True)
class Prepared:
    """The result of stage prepare.

    Attributes
    ----------
    profile : dict
        Rows, columns and SHA-256 sums, as written to the data profile.
    n_columns : int
        Number of columns of the raw table.
    """

    profile: dict[str, Any]
    n_columns: int

    @property
    def summary(self) -> str:
        """The lines to print: what was read, dropped and written."""
        rows, dataset = self.profile["rows"], self.profile["dataset"]
        return "\n".join(
            [
                f"prepare: {dataset['path']}, {rows['raw']:,} rows x {self.n_columns} columns",
                f"prepare: dropped {rows['duplicates_dropped']:,} exact duplicates and "
                f"{rows['without_target_dropped']:,} rows without {dataset['target']}",
                f"prepare: {rows['train']:,} training and {rows['test']:,} test rows in {TRAIN_TABLE.parent}",
            ]
        )


def prepare(params: DatasetParams, folder: Path) -> Prepared:
    """Validate and split the table at ``dataset.path``, and write the results.

    Parameters
    ----------
    params : DatasetParams
        The section ``dataset`` of params.yaml.
    folder : Path
        The pipeline folder. The training and test tables, the scaler fitted on the numeric columns of the training
        table, and the profile are written below it.

    Returns
    -------
    Prepared

    Raises
    ------
    TableError, FormulaError
        When the table is invalid. Nothing is written.
    """
    remove_unfinished_outputs(folder)
    source = folder / params.path
    table = read_table(source, params.categorical or [])
    n_raw, n_columns = table.shape
    appended = appended_predictions(source)
    original = _validated(appended.original_rows(table), params)[0] if appended.ids else None
    table, n_distinct = _validated(table, params)
    train_rows, test_rows = (
        split_rows(table, params) if original is None else split_with_predictions(table, params, original)
    )
    column_profiles = {str(name): _describe(table[name]) for name in table.columns}
    train, test = table.iloc[train_rows], table.iloc[test_rows]
    del table
    inputs = train.drop(columns=params.non_features(train.columns))
    transformer = FeatureTransformer.fit(inputs, {"derived": params.derived})
    if not transformer.feature_names:
        raise TableError(
            f"{params.path}: no column has a value in any of the {len(train):,} training rows",
            "add values, or drop fewer columns in params.yaml",
        )
    scaler = _fit_scaler(transformer, inputs, params)
    profile = {
        "dataset": params.model_dump(),
        "rows": {
            "raw": n_raw,
            "duplicates_dropped": n_raw - n_distinct,
            "without_target_dropped": n_distinct - len(train) - len(test),
            "train": len(train),
            "test": len(test),
        },
        "columns": column_profiles,
        "scaler": _means_and_variances(scaler),
        "sha256": {"raw": sha256(source)} | ({"own": appended.own_sha256} if appended.own_sha256 else {}),
    }
    _write(folder, train, test, scaler, profile)
    return Prepared(profile, n_columns)


def _validated(table: pd.DataFrame, params: DatasetParams) -> tuple[pd.DataFrame, int]:
    """Return the validated rows that have a target, and the number of distinct rows.

    To save memory, only one table is held at a time, and a table that does not change is not copied.
    """
    if params.drop_duplicates:
        table = _without(table, duplicated(table))
    n_distinct = len(table)
    table = check_contract(select_columns(table, params), params)
    return _without(table, table[params.target].isna().to_numpy()), n_distinct


def _without(table: pd.DataFrame, rows: NDArray[np.bool_]) -> pd.DataFrame:
    return table[~rows] if rows.any() else table


def _write(
    folder: Path, train: pd.DataFrame, test: pd.DataFrame, scaler: "StandardScaler", profile: dict[str, Any]
) -> None:
    """Write all outputs, or none and keep the existing ones; add the tables' SHA-256 sums to the profile."""
    import joblib

    with ExitStack() as stack:
        temporary = {path: stack.enter_context(atomic_write(folder / path)) for path in (DATA_PROFILE, SCALER)}
        for name, table, path in (("train", train, TRAIN_TABLE), ("test", test, TEST_TABLE)):
            temporary[path] = stack.enter_context(atomic_write(folder / path))
            table.to_parquet(temporary[path], index=False)
            profile["sha256"][name] = sha256(temporary[path])
        joblib.dump(scaler, temporary[SCALER])
        text = json.dumps(profile, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        temporary[DATA_PROFILE].write_text(text, encoding="utf-8")


def _fit_scaler(transformer: FeatureTransformer, inputs: pd.DataFrame, params: DatasetParams) -> "StandardScaler":
    """Fit a scaler to the numeric features, raw and derived, or to the categorical ones if there are none."""
    from sklearn.preprocessing import StandardScaler

    scaler, names = StandardScaler(), transformer.numeric_names or None
    for start in range(0, len(inputs), CHUNK):
        numbers = transformer.transform(inputs.iloc[start : start + CHUNK], only=names)
        if numbers.isna().all().any():  # an empty column would make all later means NaN
            return StandardScaler().fit(_checked_for_values(transformer.transform(inputs, only=names), params))
        scaler.partial_fit(numbers)
    return scaler


def _checked_for_values(numbers: pd.DataFrame, params: DatasetParams) -> pd.DataFrame:
    empty = numbers.columns[numbers.isna().all()]
    if len(empty):
        raise TableError(
            f"{params.path}: {empty[0]!r} has no value in any of the {len(numbers):,} training rows",
            "add the column to dataset.drop, or correct or remove its formula in dataset.derived, in params.yaml",
        )
    return numbers


def _means_and_variances(scaler: "StandardScaler") -> dict[str, list[float]]:
    """Return each column's mean and variance to twelve digits, so that training need not unpickle the scaler."""
    return {
        str(name): [float(f"{mean:.12g}"), float(f"{variance:.12g}")]
        for name, mean, variance in zip(scaler.feature_names_in_, scaler.mean_, scaler.var_, strict=True)
    }


def _describe(column: pd.Series) -> dict[str, Any]:
    """Return the profile of a column: type, missing values, and range (rounded to six digits) or counts."""
    profile: dict[str, Any] = {"type": str(column.dtype), "missing": int(column.isna().sum())}
    if pd.api.types.is_float_dtype(column):
        statistics = {"min": column.min(), "mean": column.mean(), "max": column.max()}
        finite = {name: float(f"{value:.6g}") for name, value in statistics.items() if np.isfinite(value)}
        return profile | dict.fromkeys(statistics) | finite
    counts = column.value_counts().sort_index(kind="stable")
    return profile | {"counts": {str(value): int(count) for value, count in counts.head(50).items()}}
