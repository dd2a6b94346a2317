"""Stage 1, prepare: a raw file becomes checked, split tables, a scaler and a profile."""

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
from pipeline.support.files import replacing, sha256
from pipeline.support.paths import DATA_PROFILE, SCALER, TEST_TABLE, TRAIN_TABLE, sweep_outputs
from pipeline.tables.appended_predictions import appended_predictions, split_apart
from pipeline.tables.duplicates import duplicated
from pipeline.tables.read import read_table
from pipeline.tables.split import split_rows

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

CHUNK = 100_000  # rows the scaler is fitted to at a time


@dataclass(frozen=True)
class Prepared:
    """What stage prepare made of a table.

    Attributes
    ----------
    profile : dict
        Rows, columns and SHA-256 sums, as written.
    n_columns : int
        Of the table as read.
    """

    profile: dict[str, Any]
    n_columns: int

    @property
    def summary(self) -> str:
        """What was read, dropped and written, as lines to print."""
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
    """Check and split the table of ``dataset.path``.

    Parameters
    ----------
    params : DatasetParams
        The section ``dataset`` of params.yaml.
    folder : Path
        The pipeline folder. Written below it: the training and test tables, the scaler fitted on the training
        table's numbers, and the profile.

    Returns
    -------
    Prepared

    Raises
    ------
    TableError, FormulaError
        When the table breaks its contract; nothing is written then.
    """
    sweep_outputs(folder)
    source = folder / params.path
    table = read_table(source, params.categorical or [])
    n_raw, n_columns = table.shape
    appended = appended_predictions(source)
    own = _checked(appended.own(table), params)[0] if appended.ids else None
    table, n_distinct = _checked(table, params)
    train_rows, test_rows = split_rows(table, params) if own is None else split_apart(table, params, own)
    described = {str(name): _describe(table[name]) for name in table.columns}
    train, test = table.iloc[train_rows], table.iloc[test_rows]
    del table
    inputs = train.drop(columns=params.non_features(train.columns))
    transformer = FeatureTransformer.fit(inputs, {"derived": params.derived})
    if not transformer.feature_names:
        raise TableError(
            f"{params.path}: no column has a value in any of the {len(train):,} training rows",
            "fill them, or drop fewer columns in params.yaml",
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
        "columns": described,
        "scaler": _numbers(scaler),
        "sha256": {"raw": sha256(source)} | ({"own": appended.own_sha256} if appended.own_sha256 else {}),
    }
    _write(folder, train, test, scaler, profile)
    return Prepared(profile, n_columns)


def _checked(table: pd.DataFrame, params: DatasetParams) -> tuple[pd.DataFrame, int]:
    """Return the rows that count, as the contract has them, and how many distinct ones there are.

    One table at a time is held, and no copy is made of one that stays as it is.
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
    """Write all outputs, or leave those there are; add the tables' SHA-256 sums to the profile."""
    import joblib

    with ExitStack() as stack:
        written = {path: stack.enter_context(replacing(folder / path)) for path in (DATA_PROFILE, SCALER)}
        for name, table, path in (("train", train, TRAIN_TABLE), ("test", test, TEST_TABLE)):
            written[path] = stack.enter_context(replacing(folder / path))
            table.to_parquet(written[path], index=False)
            profile["sha256"][name] = sha256(written[path])
        joblib.dump(scaler, written[SCALER])
        text = json.dumps(profile, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        written[DATA_PROFILE].write_text(text, encoding="utf-8")


def _fit_scaler(transformer: FeatureTransformer, inputs: pd.DataFrame, params: DatasetParams) -> "StandardScaler":
    """Fit a scaler to the numbers, raw and derived; to the categories where there are none."""
    from sklearn.preprocessing import StandardScaler

    scaler, names = StandardScaler(), transformer.numeric_names or None
    for start in range(0, len(inputs), CHUNK):
        numbers = transformer.transform(inputs.iloc[start : start + CHUNK], only=names)
        if numbers.isna().all().any():  # a column without a value would spoil the mean of all that follow
            return StandardScaler().fit(_with_values(transformer.transform(inputs, only=names), params))
        scaler.partial_fit(numbers)
    return scaler


def _with_values(numbers: pd.DataFrame, params: DatasetParams) -> pd.DataFrame:
    missing = numbers.columns[numbers.isna().all()]
    if len(missing):
        raise TableError(
            f"{params.path}: {missing[0]!r} has no value in any of the {len(numbers):,} training rows",
            "add the column to dataset.drop, or mend or remove its formula in dataset.derived, in params.yaml",
        )
    return numbers


def _numbers(scaler: "StandardScaler") -> dict[str, list[float]]:
    """Return the mean and the variance of each column, to twelve digits: training takes them, and unpickles nothing."""
    return {
        str(name): [float(f"{mean:.12g}"), float(f"{variance:.12g}")]
        for name, mean, variance in zip(scaler.feature_names_in_, scaler.mean_, scaler.var_, strict=True)
    }


def _describe(column: pd.Series) -> dict[str, Any]:
    """Return type, number of missing values, and range or counts, rounded to six digits."""
    described: dict[str, Any] = {"type": str(column.dtype), "missing": int(column.isna().sum())}
    if pd.api.types.is_float_dtype(column):
        statistics = {"min": column.min(), "mean": column.mean(), "max": column.max()}
        finite = {name: float(f"{value:.6g}") for name, value in statistics.items() if np.isfinite(value)}
        return described | dict.fromkeys(statistics) | finite
    counts = column.value_counts().sort_index(kind="stable")
    return described | {"counts": {str(value): int(count) for value, count in counts.head(50).items()}}
