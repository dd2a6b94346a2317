"""First pass over a table: validate its parts, and decide which rows become training and test rows."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.params.schema import DatasetParams
from pipeline.prepare.contract import check_contract, check_parts, convert_types
from pipeline.support.threads import Runner
from pipeline.tables.appended_predictions import AppendedPredictions, deciding_hashes
from pipeline.tables.duplicates import Hashes, equal_earlier_row, row_hashes
from pipeline.tables.parts import PartedTable
from pipeline.tables.split import Rows, split_column, split_rows


@dataclass(frozen=True)
class ScannedPart:
    """What the first pass keeps of a part.

    Attributes
    ----------
    hashes : array of uint64, shape (2, n_rows), optional
        Set if duplicates are dropped.
    has_target : array of bool, shape (n_rows,)
    values : Series, shape (n_rows,), optional
        The column that decides how rows are split.
    deciding : array of uint64, shape (n_rows,), optional
        The `deciding_hashes`, set if the table has appended predictions that are split by them.
    n_values : dict of str to int
        The number of present values of each column.
    categories : dict of str to set
        The values of each categorical column.
    """

    hashes: Hashes | None
    has_target: NDArray[np.bool_]
    values: pd.Series | None
    deciding: NDArray[np.uint64] | None
    n_values: dict[str, int]
    categories: dict[str, set[str]]


@dataclass(frozen=True)
class Scan:
    """The result of the first pass.

    Attributes
    ----------
    train, test : arrays of int
        Positions of the rows in the table, in the order in which they are written.
    n_distinct : int
        Number of rows without duplicates.
    """

    train: Rows
    test: Rows
    n_distinct: int


def scan(
    table: PartedTable,
    columns: list[str],
    params: DatasetParams,
    appended: AppendedPredictions,
    run: Runner,
    encoded: frozenset[str],
) -> Scan:
    """Validate a table and split its rows.

    Parameters
    ----------
    table : PartedTable
    columns : list of str
        The `selected_columns`.
    params : DatasetParams
    appended : AppendedPredictions
        The predictions in its last rows.
    run : callable
        `in_threads`, or `Cluster.run`.
    encoded : frozenset of str
        The `FeaturesParams.encoded_columns`.

    Raises
    ------
    TableError
        When a row violates the contract, or the rows cannot be split.
    """
    uses_inputs = bool(appended.ids) and params.split.strategy != "time"
    scan_part = partial(_scan_part, table, columns, params, uses_inputs, encoded)
    parts = run(scan_part, range(len(table.parts)), "prepare: validated parts")
    names = parts[0].categories
    check_parts(
        {name: sum(part.n_values[name] for part in parts) for name in columns},
        {name: len(set().union(*(part.categories[name] for part in parts))) for name in names},
        params,
    )
    keep = np.ones(table.n_rows, dtype=np.bool_)
    if params.drop_duplicates:
        keep = ~equal_earlier_row([part.hashes for part in parts if part.hashes is not None])
    n_distinct = int(keep.sum())
    rows = np.flatnonzero(keep & np.concatenate([part.has_target for part in parts]))
    values, deciding = (
        [kept for part in parts if (kept := getattr(part, name)) is not None] for name in ("values", "deciding")
    )
    split_values = pd.concat(values).iloc[rows] if values else None
    if deciding:
        train, test = appended.split(rows, split_values, params, np.concatenate(deciding)[rows], table.n_rows)
    else:
        train, test = split_rows(rows, split_values, params, table.row_name)
    return Scan(train, test, n_distinct)


def _scan_part(
    table: PartedTable,
    columns: list[str],
    params: DatasetParams,
    uses_inputs: bool,
    encoded: frozenset[str],
    number: int,
) -> ScannedPart:
    rows = table.read(number)
    hashes = row_hashes(rows) if params.drop_duplicates else None
    converted = convert_types(rows, columns, params, table.row_name)
    check_contract(converted, params, table.row_name, encoded)
    decisive = split_column(params)
    inputs = converted.drop(columns=params.non_features(columns))
    return ScannedPart(
        hashes,
        converted[params.target].notna().to_numpy(),
        converted[decisive] if decisive else None,
        deciding_hashes(converted, params) if uses_inputs else None,
        {str(name): int(column.count()) for name, column in converted.items()},
        {
            str(name): set(column.dropna().unique())
            for name, column in inputs.items()
            if column.dtype == "str" and name not in encoded
        },
    )
