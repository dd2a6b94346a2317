"""Recorded predictions as files: small parts are written at once, and merged to larger ones beside."""

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
from pipeline.support.files import replacing, sweep_files
from pipeline.support.processes import owner

logger = logging.getLogger(__name__)
TOGETHER = 60  # so many files of one level become one of the next
MAX_ROWS = 1_000_000  # of a merged file
GRACE = 1.0  # seconds that merged files stay, so that whoever lists the folder meanwhile sees them or what they became
GROUP_ROWS = 100_000  # rows of a merged file that are in memory at a time
LOCK = ".merging.lock"


class ParquetLog:
    """What one session of the service records.

    Parameters
    ----------
    folder : Path
        Below it each model has a folder of its name. Several processes may write into it at once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._session = f"{owner()}~{secrets.token_hex(4)}"
        self._next: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()
        self._levels: defaultdict[tuple[str, int], list[list[tuple[Part, int]]]] = defaultdict(list)

    def append(self, name: str, version: int, table: pa.Table) -> None:
        """Write rows of one version of a model as a part that is on the disk when this returns.

        When this raises, call it again with these rows at the beginning of `table`: should they be on the disk all the
        same, they are replaced.
        """
        number = self._next[name, version]
        part = Part(self.folder / name, self._session, version, number, number)
        with replacing(part.path) as written:
            pq.write_table(table, written, **_how(table.schema))
        self._next[name, version] += 1
        with self._lock:
            self._add((name, version), 0, part, table.num_rows)

    def merge(self, stopping: threading.Event) -> None:
        """Merge what has become many small files, until nothing is left to merge or `stopping` is set."""
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
        """Take the oldest files of a level out of it that are to be merged."""
        with self._lock:
            files = self._levels[key][level]
            while files:
                together = _first_group(files, TOGETHER)
                if together == len(files) < TOGETHER:  # there is room for more
                    return []
                taken, files[:] = files[:together], files[together:]
                if together > 1:
                    return taken
        return []


def _first_group(files: Sequence[tuple[Part, int]], most: int) -> int:
    """Return how many of `files`, from the first on and `most` at most, become one file.

    They follow each other without a gap, as the name of what they become covers all parts from the first to the last.
    """
    rows = 0
    for place, (part, count) in enumerate(files[:most]):
        if place and part.first != files[place - 1][0].last + 1:
            return place
        rows += count
        if rows > MAX_ROWS:
            return max(place, 1)
    return min(len(files), most)


def merge_left(folder: Path, stopping: threading.Event) -> None:
    """Finish what processes that are gone left below `folder`: unfinished, covered and small files."""
    from filelock import FileLock, Timeout

    for below in sorted(path for path in folder.glob("*") if path.is_dir()):
        sweep_files(below)
        try:
            # Two at once would each see files that the other is merging.
            with FileLock(below / LOCK, timeout=0):
                _merge_left(below, stopping)
        except Timeout:
            continue


def _merge_left(folder: Path, stopping: threading.Event) -> None:
    left = [part for part in parts_in(folder) if part.is_left]
    kept = dict.fromkeys(without_covered(left))
    covered = [part for part in left if part not in kept]
    for _, group in groupby(kept, key=lambda part: (part.version, part.session)):
        files = [(part, _rows(part)) for part in group]
        while files and not stopping.is_set():
            together = _first_group(files, len(files))
            parts, files = [part for part, _ in files[:together]], files[together:]
            if together > 1 and _merged(parts, stopping):
                covered += parts
    _remove(covered, stopping)


def _remove(covered: Sequence[Part], stopping: threading.Event) -> None:
    """Remove merged files after a while; if there is no time for that, the next start does it."""
    if covered and not stopping.wait(GRACE):
        for part in covered:
            with suppress(OSError):  # then it stays, and is never read
                part.path.unlink()


def _rows(part: Part) -> int:
    try:
        return int(pq.read_metadata(part.path).num_rows)
    except (OSError, pa.ArrowException) as error:
        logger.warning("%s cannot be read: %s", part.path, error)
        return MAX_ROWS + 1  # so that it is merged with no other


class _StoppedError(Exception):
    """The service ends; merging goes on when it starts again."""


def _merged(parts: Sequence[Part], stopping: threading.Event) -> Part | None:
    """Make one file of `parts`, which follow each other; None when that fails: they stay as they are."""
    merged = parts[0].to(parts[-1])
    try:
        with replacing(merged.path) as written:
            schema = pq.read_schema(parts[0].path)
            with pq.ParquetWriter(written, schema, **_how(schema)) as writer:
                for table in _groups(parts):
                    if stopping.is_set():
                        raise _StoppedError
                    writer.write_table(table, row_group_size=table.num_rows)
    except _StoppedError:
        return None
    except (OSError, pa.ArrowException, ValueError) as error:
        logger.warning("%d small files of recorded predictions stay, they cannot be merged: %s", len(parts), error)
        return None
    return merged


def _groups(parts: Sequence[Part]) -> Iterator[pa.Table]:
    """Read the rows of `parts` in tables of about `GROUP_ROWS` rows."""
    tables: list[pa.Table] = []
    for part in parts:
        with pq.ParquetFile(part.path) as file:
            for place in range(file.num_row_groups):
                tables.append(file.read_row_group(place, use_threads=False))
                if sum(table.num_rows for table in tables) >= GROUP_ROWS:
                    yield pa.concat_tables(tables)
                    tables = []
    if tables:
        yield pa.concat_tables(tables)


def _how(schema: pa.Schema) -> dict[str, object]:
    """Return how columns are written: those that repeat as dictionaries, all compressed."""
    repeating = [one.name for one in schema if not pa.types.is_floating(one.type) and one.name != "prediction_id"]
    return {"compression": "zstd", "use_dictionary": repeating}
