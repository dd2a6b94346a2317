"""Read the tables of stage prepare in parts."""

from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import pandas as pd

from pipeline.errors import PipelineError
from pipeline.support.files import sha256
from pipeline.support.paths import DATA_PROFILE
from pipeline.tables.files import table_files
from pipeline.tables.parquet_files import group_types
from pipeline.tables.parts import Part, PartedTable

PREPARE = "dvc repro -f -s prepare"


def open_prepared(path: Path, expected_sha256: str, columns: Sequence[str] | None = None) -> PartedTable:
    """Return the training or test table, with a part for each file; the only part of a table stays in memory.

    Parameters
    ----------
    path : Path
        The file, or folder of files.
    expected_sha256 : str
    columns : sequence of str, optional
        The columns to read; by default all.

    Raises
    ------
    PipelineError
        When the table does not exist or is not the expected one.
    """
    if not path.exists():
        raise PipelineError(f"{path} does not exist", f"run: {PREPARE}")
    if sha256(path) != expected_sha256:
        raise PipelineError(f"{path} is not the table that {DATA_PROFILE} describes", f"run: {PREPARE}")
    parts, files = list[Part](), table_files(path)
    for file in files:
        groups = group_types(file)
        types = {name: types for name, types in groups[0][1].items() if columns is None or name in columns}
        load = partial(_read, file, list(types))
        parts.append(Part(file, 0, sum(n for n, _ in groups), cache(load) if len(files) == 1 else load, types))
    return PartedTable(parts, {name: column.dtype for name, column in parts[0].types.items()})


def read_column(table: PartedTable, name: str) -> Iterator[pd.Series]:
    """Yield a column of a prepared table, part by part."""
    return (_read(part.file, [name])[name] for part in table.parts)


def _read(file: Path, columns: list[str]) -> pd.DataFrame:
    return pd.read_parquet(file, columns=columns, use_threads=False)
