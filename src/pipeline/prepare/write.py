"""Second pass over a table: write the training and test rows."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.params.schema import DatasetParams
from pipeline.prepare.contract import convert_types
from pipeline.prepare.profile import ColumnSummary, summarize
from pipeline.support.files import atomic_write, replace_folder
from pipeline.support.threads import Runner
from pipeline.tables.parts import PartedTable
from pipeline.tables.sizes import rows_per_group, rows_per_part
from pipeline.tables.split import Rows


@dataclass(frozen=True)
class WrittenPart:
    """A written file of consecutive training or test rows.

    Attributes
    ----------
    path : Path
        Its temporary path.
    summaries : dict of str to ColumnSummary
    categories : dict of str to list of str
        The values of each categorical column.
    """

    path: Path
    summaries: dict[str, ColumnSummary]
    categories: dict[str, list[str]]


@dataclass(frozen=True)
class WrittenTable:
    """The training or test rows in one file, or in a folder of files.

    Attributes
    ----------
    path : Path
        The temporary path of the file or folder.
    parts : list of WrittenPart
    """

    path: Path
    parts: list[WrittenPart]


def write_rows(
    table: PartedTable,
    columns: list[str],
    params: DatasetParams,
    tables: Mapping[Path, Rows],
    stack: ExitStack,
    run: Runner,
) -> list[WrittenTable]:
    """Write rows to Parquet files or, if they have more than one part, to folders of files.

    Where a file ends depends only on the number of columns and the positions of the rows, not on the parts of `table`.

    Parameters
    ----------
    table : PartedTable
    columns : list of str
        The `selected_columns`.
    params : DatasetParams
    tables : mapping of Path to array of int
        By the path that is replaced when `stack` is closed: positions in the table, in the order in which to write
        them.
    stack : ExitStack
    run : callable
        `in_threads`, or `Cluster.run`.
    """
    n_rows, in_time = rows_per_part(len(columns)), params.split.strategy == "time"
    folders, tasks = list[Path](), dict[tuple[int, int], list[tuple[Path, Rows]]]()
    for number, (path, rows) in enumerate(tables.items()):
        ends = np.arange(n_rows, len(rows), n_rows) if in_time else _ends(rows, table.n_rows, n_rows)
        parts = {place: part for place, part in enumerate(np.split(rows, ends)) if len(part)}
        folders.append(stack.enter_context(atomic_write(path) if len(parts) == 1 else replace_folder(path)))
        for place, part in parts.items():
            file = folders[-1] if len(parts) == 1 else folders[-1] / f"part-{place:05d}.parquet"
            tasks.setdefault((number if in_time else 0, place), []).append((file, part))
    written = run(partial(_write_files, table, columns, params), list(tasks.values()), "prepare: written parts")
    files = [part for parts in written for part in parts]
    return [WrittenTable(path, [part for part in files if path in (part.path, part.path.parent)]) for path in folders]


def _ends(rows: Rows, n: int, n_rows: int) -> Rows:
    """Return where among some rows of a table of `n` rows each range of `n_rows` rows ends."""
    return np.searchsorted(rows, np.arange(n_rows, n, n_rows))


def _write_files(
    table: PartedTable, columns: list[str], params: DatasetParams, files: Sequence[tuple[Path, Rows]]
) -> list[WrittenPart]:
    """Write training and test rows from the same range of the table, which is read once."""
    rows = files[0][1] if len(files) == 1 else np.sort(np.concatenate([part for _, part in files]))
    converted = convert_types(table.take(rows), columns, params, table.row_name)
    if len(files) == 1:
        return [_write_file(converted, files[0][0], params)]
    return [_write_file(converted.iloc[np.searchsorted(rows, part)], path, params) for path, part in files]


def _write_file(rows: pd.DataFrame, path: Path, params: DatasetParams) -> WrittenPart:
    rows.to_parquet(path, index=False, row_group_size=rows_per_group(rows.shape[1]))
    inputs = rows.drop(columns=params.non_features(rows.columns))
    return WrittenPart(
        path,
        {str(name): summarize(column) for name, column in rows.items()},
        {str(name): sorted(column.dropna().unique()) for name, column in inputs.items() if column.dtype == "str"},
    )


def merge_categories(parts: Sequence[WrittenPart]) -> dict[str, list[str]]:
    """Return the values of each categorical column in all parts, sorted."""
    return {name: sorted(set().union(*(part.categories[name] for part in parts))) for name in parts[0].categories}
