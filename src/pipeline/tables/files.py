"""Find the files of a table: one file, the files in a folder, or those that match a pattern."""

import glob
import re
from pathlib import Path

from pipeline.errors import TableError
from pipeline.support.files import sha256, sha256_of_files

CSV_SUFFIXES = (".csv", ".csv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
WILDCARD = re.compile(r"[*?[]")
IGNORED = (".", "_")  # first characters of names that other programs add to a folder, such as _SUCCESS


def is_pattern(path: Path) -> bool:
    """Return whether a path is a pattern such as ``data/raw/part-*.csv``, and not a file or folder of that name."""
    return bool(WILDCARD.search(str(path))) and not path.exists()


def pattern_folder(path: Path) -> Path:
    """Return the folder above the first wildcard of a pattern; names of folders that exist may have such characters."""
    return next(folder for folder in path.parents if folder.exists() or not WILDCARD.search(str(folder)))


def is_parquet(path: Path) -> bool:
    """Return whether a file has the suffix of a Parquet file."""
    return path.name.lower().endswith(PARQUET_SUFFIXES)


def table_files(path: Path) -> list[Path]:
    """Return the files of a table in the order of their rows: sorted by path.

    Parameters
    ----------
    path : Path
        A file, a folder of files, or a pattern.

    Raises
    ------
    TableError
        When there is no file, or a file is empty, or the files are not all CSV or all Parquet.
    """
    if is_pattern(path):
        folder = pattern_folder(path)
        pattern = Path(glob.escape(str(folder)), path.relative_to(folder))
        files = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True)) if Path(name).is_file()]
        if not files:
            raise TableError(f"no file matches {path}", "correct the pattern dataset.path in params.yaml")
    elif path.is_dir():
        files = sorted(file for file in path.iterdir() if not file.name.startswith(IGNORED))
        other = next((file for file in files if not file.is_file()), None)
        if other or not files:
            raise TableError(
                f"{path} holds {other.name + ', which is not a file' if other else 'no files'}",
                "set dataset.path in params.yaml to a folder of CSV or Parquet files, or a pattern such as "
                f"{path}/**/*.parquet",
            )
    elif path.exists():
        files = [path]
    else:
        raise TableError(f"{path} does not exist", "set dataset.path in params.yaml to your CSV or Parquet file")
    for file in files:
        _check_format(file, is_single=file == path)
    if len({is_parquet(file) for file in files}) > 1:
        raise TableError(f"{path} holds both CSV and Parquet files", f"use a pattern such as {path}/*.parquet")
    return files


def _check_format(file: Path, is_single: bool) -> None:
    if file.stat().st_size == 0:
        raise TableError(f"{file} is empty", "replace it with a file that has a header and rows")
    if not file.name.lower().endswith(CSV_SUFFIXES + PARQUET_SUFFIXES):
        suffixes = ", ".join(CSV_SUFFIXES + PARQUET_SUFFIXES)
        remedy = f"convert it to a file whose name ends in {suffixes}"
        raise TableError(
            f"{file} is neither a CSV nor a Parquet file",
            remedy if is_single else f"remove it from the folder, or {remedy}",
        )


def table_sha256(path: Path) -> str:
    """Return the SHA-256 of a table: of its file or, if it has several, of their names and SHA-256 sums."""
    files = table_files(path)
    return sha256(path) if files == [path] else sha256_of_files(files)
