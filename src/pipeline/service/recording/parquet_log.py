"""Write recorded predictions to Parquet files: small parts at once, which are merged into larger files later."""

import logging
import secrets
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.service.recording.parts import Part, parts_in, without_covered
from pipeline.support.files import atomic_write, remove_unfinished_files
from pipeline.support.processes import owner

logger = logging.getLogger(__name__)
FILES_PER_MERGE = 60  # number of files of one level that are merged into one file of the next
MAX_ROWS = 1_000_000  # in a merged file
GRACE = 1.0  # seconds before merged parts are removed, so that a reader that has just listed the folder finds them
GROUP_ROWS = 100_000  # rows in memory at a time while merging
LOCK = ".merging.lock"


class ParquetLog:
    """The Parquet files of one session of the service.

    Parameters
    ----------
    folder : Path
        Each model has a subfolder of its name. Several processes may write to it at the same time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._session = f"{owner()}~{secrets.token_hex(4)}"
        self._next: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()
        self._levels: defaultdict[tuple[str, int], list[list[tuple[Part, int]]]] = defaultdict(list)

    def append(self, name: str, version: int, table: pa.Table) -> None:
        """Write predictions of one model version as a new part, which is on the disk when this returns.

        If this raises, call it again with a table that begins with the same rows: the part has the same name, so rows
        that did reach the disk are replaced, not duplicated.

        Parameters
        ----------
        name : str
            Name of the registered model.
        version : int
        table : Table, shape (n_rows, n_columns)
            As `table_of` returns it.

        Raises
        ------
        OSError, ArrowException
            When the part cannot be written.
        """
        number = self._next[name, version]
        part = Part(self.folder / name, self._session, version, number, number)
        with atomic_write(part.path) as written:
            pq.write_table(table, written, **_write_options(table.schema))
        self._next[name, version] += 1
        with self._lock:
            self._add((name, version), 0, part, table.num_rows)

    def merge(self, stopping: threading.Event) -> None:
        """Merge small files until there are none left to merge or `stopping` is set."""
        with self._lock:
            due = [(key, level) for key, levels in self._levels.items() for level in range(len(levels))]
        covered: list[Part] = []
        for key, level in due:
            while not stopping.is_set() and (files := self._take(key, level)):
                parts = [part for part, _ in files]
                if merged := _merged(parts, stopping):
                    covered += parts
                    with self._lock:
                        self._add(key, level + 1, merged, sum(rows for _, rows in files))
        _remove(covered, stopping)

    def _add(self, key: tuple[str, int], level: int, part: Part, rows: int) -> None:
        levels = self._levels[key]
        if level == len(levels):
            levels.append([])
        levels[level].append((part, rows))

    def _take(self, key: tuple[str, int], level: int) -> list[tuple[Part, int]]:
        """Remove the oldest files to merge from a level and return them; an empty list if there are too few."""
        with self._lock:
            files = self._levels[key][level]
            while files:
                n_files = _first_group(files, FILES_PER_MERGE)
                if n_files == len(files) < FILES_PER_MERGE:  # there is room for more
                    return []
                taken, files[:] = files[:n_files], files[n_files:]
                if n_files > 1:
                    return taken
        return []


def _first_group(files: Sequence[tuple[Part, int]], max_files: int) -> int:
    """Return how many of `files`, counted from the first and at most `max_files`, to merge into one file.

    Their part numbers are consecutive, as the name of a merged file claims all parts from its first to its last.
    """
    rows = 0
    for index, (part, count) in enumerate(files[:max_files]):
        if index and part.first != files[index - 1][0].last + 1:
            return index
        rows += count
        if rows > MAX_ROWS:
            return max(index, 1)
    return min(len(files), max_files)


def merge_orphaned(folder: Path, stopping: threading.Event) -> None:
    """Clean up after ended processes below `folder`: remove unfinished and duplicate files, merge small ones.

    Parameters
    ----------
    folder : Path
        The folder of all models.
    stopping : Event
        Stops merging when it is set.
    """
    from filelock import FileLock, Timeout

    for subfolder in sorted(path for path in folder.glob("*") if path.is_dir()):
        remove_unfinished_files(subfolder)
        try:
            # Two processes at once would each see files that the other is merging.
            with FileLock(subfolder / LOCK, timeout=0):
                _merge_orphaned(subfolder, stopping)
        except Timeout:
            continue


def _merge_orphaned(folder: Path, stopping: threading.Event) -> None:
    orphaned = [part for part in parts_in(folder) if part.is_orphaned]
    kept = dict.fromkeys(without_covered(orphaned))
    covered = [part for part in orphaned if part not in kept]
    for _, group in groupby(kept, key=lambda part: (part.version, part.session)):
        files = [(part, _rows(part)) for part in group]
        while files and not stopping.is_set():
            n_files = _first_group(files, len(files))
            parts, files = [part for part, _ in files[:n_files]], files[n_files:]
            if n_files > 1 and _merged(parts, stopping):
                covered += parts
    _remove(covered, stopping)


def _remove(covered: Sequence[Part], stopping: threading.Event) -> None:
    """Remove merged parts after the grace period; if the service stops first, the next start removes them."""
    if covered and not stopping.wait(GRACE):
        for part in covered:
            with suppress(OSError):  # the file then stays, but is never read
                part.path.unlink()


def _rows(part: Part) -> int:
    try:
        return int(pq.read_metadata(part.path).num_rows)
    except (OSError, pa.ArrowException) as error:
        logger.warning("%s cannot be read: %s", part.path, error)
        return MAX_ROWS + 1  # so that it is not merged


class _StoppedError(Exception):
    """The service is stopping; the next start continues merging."""


def _merged(parts: Sequence[Part], stopping: threading.Event) -> Part | None:
    """Merge consecutive `parts` into one file and return it; None if that fails, and the parts stay."""
    merged = parts[0].merged_with(parts[-1])
    try:
        with atomic_write(merged.path) as written:
            schema = pq.read_schema(parts[0].path)
            with pq.ParquetWriter(written, schema, **_write_options(schema)) as writer:
                for table in _groups(parts):
                    if stopping.is_set():
                        raise _StoppedError
                    writer.write_table(table, row_group_size=table.num_rows)
    except _StoppedError:
        return None
    except (OSError, pa.ArrowException, ValueError) as error:
        logger.warning("%d small files of recorded predictions cannot be merged and are kept: %s", len(parts), error)
        return None
    return merged


def _groups(parts: Sequence[Part]) -> Iterator[pa.Table]:
    """Yield the rows of `parts` in tables of about `GROUP_ROWS` rows."""
    tables: list[pa.Table] = []
    for part in parts:
        with pq.ParquetFile(part.path) as file:
            for index in range(file.num_row_groups):
                tables.append(file.read_row_group(index, use_threads=False))
                if sum(table.num_rows for table in tables) >= GROUP_ROWS:
                    yield pa.concat_tables(tables)
                    tables = []
    if tables:
        yield pa.concat_tables(tables)


def _write_options(schema: pa.Schema) -> dict[str, object]:
    """Return Parquet options: compress all columns, and dictionary-encode those whose values repeat."""
    repeating = [
        field.name for field in schema if not pa.types.is_floating(field.type) and field.name != "prediction_id"
    ]
    return {"compression": "zstd", "use_dictionary": repeating}
