"""The recorder: answers go into a bounded queue, and a thread writes them to files and tells those who watch."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.service.answered import Answered, ModelIdentity
from pipeline.service.recording.parquet_log import ParquetLog, merge_left
from pipeline.service.recording.table import table_of

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)
PERIOD = 0.5  # seconds after which what was answered is on the disk
RETRY = 2.0  # seconds until writing is tried again
Observer = Callable[[list[Answered]], None]


class Recorder:
    """Records answers, off the request path.

    Parameters
    ----------
    folder : Path
        Where predictions are recorded, in a folder a model.
    max_rows : int
        So many rows wait at most to be taken by the thread, and so many more to be written while writing fails. What
        does not fit is dropped and counted.
    observers : sequence of callable
        Called by the thread with what was answered since the last time, whether it could be written or not.
    """

    def __init__(self, folder: Path, max_rows: int, observers: Sequence[Observer] = ()) -> None:
        self.max_rows = max_rows
        self._observers = list(observers)
        self._log = ParquetLog(folder)
        self._lock = threading.Lock()  # of what follows, up to the counts
        self._queue: list[Answered] = []
        self._queued_rows = self._unwritten_rows = self._written_rows = self._dropped_rows = 0
        self._unwritten: defaultdict[tuple[str, int, pa.Schema], list[pa.Table]] = defaultdict(list)
        self._retry_at = 0.0
        self._last_error: str | None = None
        self._failing: set[int] = set()
        self._stopping = threading.Event()
        self._deadline = 0.0  # of stop
        self._writer = threading.Thread(target=self._write_on, name="recorder", daemon=True)
        self._merger = threading.Thread(target=self._merge_on, name="recorder-merging", daemon=True)

    def start(self) -> None:
        """Begin to record."""
        self._writer.start()
        self._merger.start()

    def put(self, answered: Answered) -> bool:
        """Give what was answered, without waiting; False when it is dropped because the queue is full."""
        rows = len(answered.ids)
        with self._lock:
            if self._queued_rows + rows > self.max_rows or self._stopping.is_set():
                self._dropped_rows += rows
                return False
            self._queued_rows += rows
            self._queue.append(answered)
            return True

    def state(self) -> dict[str, Any]:
        """Return how many rows wait, are on the disk, and were dropped since the start, and why writing fails."""
        with self._lock:
            return {
                "queued_rows": self._queued_rows + self._unwritten_rows,
                "written_rows": self._written_rows,
                "dropped_rows": self._dropped_rows,
                "last_error": self._last_error,
            }

    def stop(self, timeout: float) -> None:
        """Write all that was given, then end; what cannot be written within `timeout` seconds is dropped."""
        with self._lock:
            self._deadline = time.monotonic() + timeout
            self._stopping.set()
        for thread in (self._writer, self._merger):
            if thread.ident is not None:
                thread.join(max(self._deadline - time.monotonic(), 0))
        waiting = self.state()["queued_rows"]
        if waiting:
            logger.error("%d predictions are lost, they could not be recorded: %s", waiting, self._last_error)

    def _merge_on(self) -> None:
        try:
            merge_left(self._log.folder, self._stopping)
        except Exception as error:  # files of others: whatever is wrong with them, this session records
            logger.warning("what earlier sessions recorded stays in small files: %s", error)
        while not self._stopping.wait(PERIOD):
            self._log.merge(self._stopping)

    def _write_on(self) -> None:
        due = time.monotonic() + PERIOD
        while not self._stopping.wait(max(due - time.monotonic(), 0)):
            due = max(due + PERIOD, time.monotonic())
            self._turn()
        self._retry_at = 0.0
        self._turn()
        while self._unwritten and time.monotonic() + PERIOD < self._deadline:
            time.sleep(PERIOD)
            self._write()

    def _turn(self) -> None:
        with self._lock:
            drained, self._queue = self._queue, []
            self._unwritten_rows += self._queued_rows
            self._queued_rows = 0
        self._keep(drained)
        if time.monotonic() >= self._retry_at:
            self._write()
        if drained:
            self._observe(drained)

    def _keep(self, drained: list[Answered]) -> None:
        """Turn records into tables, which take a ninth of the memory, as far as there is room for them."""
        by_model: defaultdict[ModelIdentity, list[Answered]] = defaultdict(list)
        for answered in drained:
            by_model[answered.model].append(answered)
        for model, records in by_model.items():
            rows = sum(len(answered.ids) for answered in records)
            table, problem = table_of(model, records)
            with self._lock:
                room = max(self.max_rows - (self._unwritten_rows - rows), 0)
                kept = min(table.num_rows, room)
                if kept:
                    self._unwritten[model.name, model.version, table.schema].append(table.slice(0, kept))
                self._unwritten_rows -= rows - kept
                self._dropped_rows += rows - kept
            if problem:
                logger.error("%d predictions are lost, they fit no table: %s", rows - table.num_rows, problem)

    def _write(self) -> None:
        import pyarrow as pa

        for (name, version, schema), tables in list(self._unwritten.items()):
            table = pa.concat_tables(tables)
            try:
                self._log.append(name, version, table)
            except Exception as error:  # of the disk, whatever it is: the rows are kept, and tried again
                if self._last_error is None:
                    logger.warning("predictions cannot be recorded now, and wait in memory: %s", error)
                self._last_error = str(error)
                self._retry_at = time.monotonic() + RETRY
                return
            del self._unwritten[name, version, schema]
            with self._lock:
                self._unwritten_rows -= table.num_rows
                self._written_rows += table.num_rows
        if self._last_error is not None:
            logger.warning("predictions are recorded again; %d were dropped since the start", self._dropped_rows)
            self._last_error = None

    def _observe(self, drained: list[Answered]) -> None:
        for place, observer in enumerate(self._observers):
            try:
                observer(drained)
            except Exception:
                if place not in self._failing:
                    logger.exception("what watches the predictions fails; they are recorded all the same")
                    self._failing.add(place)
