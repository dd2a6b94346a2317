"""Stage 1, prepare: a raw file becomes checked, split tables, a scaler and a profile."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import TableError
from pipeline.features import FeatureTransformer, non_features
from pipeline.files import replacing, sha256, write_json
from pipeline.params import DatasetParams
from pipeline.paths import DATA_PROFILE, SCALER, TEST_TABLE, TRAIN_TABLE
from pipeline.prepare.contract import check_contract, select_columns
from pipeline.prepare.read_table import read_table
from pipeline.split import split_rows


def prepare(params: DatasetParams, folder: Path) -> dict[str, Any]:
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
    dict
        The profile: rows, columns and SHA-256 sums.

    Raises
    ------
    TableError, FormulaError
        When the table breaks its contract; nothing is written then.
    """
    source = folder / params.path
    raw = read_table(source, params.categorical or [])
    distinct = raw[~_duplicated(raw)]
    checked = check_contract(select_columns(distinct, params), params)
    labelled = checked.dropna(subset=[params.target])
    print(f"prepare: {params.path}, {len(raw):,} rows x {raw.shape[1]} columns")
    print(
        f"prepare: dropped {len(raw) - len(distinct):,} exact duplicates and {len(checked) - len(labelled):,} rows "
        f"without {params.target}"
    )
    train_rows, test_rows = split_rows(labelled, params)
    train, test = labelled.iloc[train_rows], labelled.iloc[test_rows]
    inputs = train.drop(columns=non_features(train, params))
    transformer = FeatureTransformer.fit(inputs, params.derived)

    numbers = transformer.transform(
        inputs, only=transformer.numeric_names or None
    )  # or the categories, if all there is
    _check_some_values(numbers, params)

    _write_table(train, folder / TRAIN_TABLE)
    _write_table(test, folder / TEST_TABLE)
    _write_scaler(numbers, folder / SCALER)
    profile = {
        "dataset": params.model_dump(),
        "rows": {
            "raw": len(raw),
            "duplicates_dropped": len(raw) - len(distinct),
            "without_target_dropped": len(checked) - len(labelled),
            "train": len(train),
            "test": len(test),
        },
        "columns": {str(name): _describe(labelled[name]) for name in labelled.columns},
        "sha256": {
            "raw": sha256(source),
            "train": sha256(folder / TRAIN_TABLE),
            "test": sha256(folder / TEST_TABLE),
        },
    }
    write_json(folder / DATA_PROFILE, profile)
    print(f"prepare: {len(train):,} training and {len(test):,} test rows in {TRAIN_TABLE.parent}")
    return profile


def _duplicated(table: pd.DataFrame) -> "pd.Series[bool]":
    """Return which rows equal an earlier one in every column; lists and the like are compared as text."""
    comparable = {name: column.map(str) if column.dtype == object else column for name, column in table.items()}
    return pd.DataFrame(comparable).duplicated()


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as beside:
        table.to_parquet(beside, index=False)


def _check_some_values(numbers: pd.DataFrame, params: DatasetParams) -> None:
    missing = numbers.columns[numbers.isna().all()]
    if len(missing):
        raise TableError(
            f"{params.path}: {missing[0]!r} has no value in any of the {len(numbers):,} training rows",
            "add the column to dataset.drop, or mend or remove its formula in dataset.derived, in params.yaml",
        )


def _write_scaler(numbers: pd.DataFrame, path: Path) -> None:
    import joblib
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(numbers)
    with replacing(path) as beside:
        joblib.dump(scaler, beside)


def _describe(column: pd.Series) -> dict[str, Any]:
    """Return type, number of missing values, and range or counts, rounded to six digits."""
    described: dict[str, Any] = {"type": str(column.dtype), "missing": int(column.isna().sum())}
    if pd.api.types.is_float_dtype(column):
        statistics = {"min": column.min(), "mean": column.mean(), "max": column.max()}
        return described | {name: float(f"{value:.6g}") for name, value in statistics.items()}
    counts = column.value_counts().sort_index(kind="stable")
    return described | {"counts": {str(value): int(count) for value, count in counts.head(50).items()}}
