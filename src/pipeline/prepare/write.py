"""Second pass over a table: write the training and test rows."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.params.schema import DatasetParams
from pipeline.prepare.contract import convert_types
from pipeline.prepare.profile import ColumnSummary, summarize
from pipeline.support.files import atomic_write, replace_folder
from pipeline.support.threads import in_threads
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


def write_rows(
    table: PartedTable, columns: list[str], params: DatasetParams, rows: Rows, path: Path, stack: ExitStack
) -> tuple[Path, list[WrittenPart]]:
    """Write rows to a Parquet file or, if they have more than one part, to a folder of files.

    Where a file ends depends only on the number of columns and the position among `rows`, not on the parts of `table`.

    Parameters
    ----------
    table : PartedTable
    columns : list of str
        The `selected_columns`.
    params : DatasetParams
    rows : array of int
        Positions in the table, in the order in which to write them.
    path : Path
        Replaced when `stack` is closed.
    stack : ExitStack

    Returns
    -------
    path : Path
        The temporary path of the file or folder.
    parts : list of WrittenPart
    """
    n_parts = -(-len(rows) // rows_per_part(len(columns)))
    temporary = stack.enter_context(atomic_write(path) if n_parts == 1 else replace_folder(path))
    starts = np.arange(1, n_parts) * rows_per_part(len(columns))
    paths = [temporary] if n_parts == 1 else [temporary / f"part-{number:05d}.parquet" for number in range(n_parts)]
    write_part = partial(_write_part, table, columns, params)
    parts = in_threads(write_part, list(zip(paths, np.split(rows, starts), strict=True)), f"prepare: {path.name}, part")
    return temporary, parts


def _write_part(
    table: PartedTable, columns: list[str], params: DatasetParams, path_and_rows: tuple[Path, Rows]
) -> WrittenPart:
    path, rows = path_and_rows
    converted = convert_types(table.take(rows), columns, params)
    converted.to_parquet(path, index=False, row_group_size=rows_per_group(len(columns)))
    inputs = converted.drop(columns=params.non_features(columns))
    return WrittenPart(
        path,
        {str(name): summarize(column) for name, column in converted.items()},
        {str(name): sorted(column.dropna().unique()) for name, column in inputs.items() if column.dtype == "str"},
    )


def merge_categories(parts: Sequence[WrittenPart]) -> dict[str, list[str]]:
    """Return the values of each categorical column in all parts, sorted."""
    return {name: sorted(set().union(*(part.categories[name] for part in parts))) for name in parts[0].categories}
