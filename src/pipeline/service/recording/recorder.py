"""Record predictions in a background thread: write a bounded queue of records to files and notify observers."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.service.recording.parquet_log import ParquetLog, merge_orphaned
from pipeline.service.recording.table import table_of
from pipeline.service.records import ModelIdentity, PredictionRecord

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)
PERIOD = 0.5  # seconds between writes
RETRY = 2.0  # seconds before a failed write is retried
Observer = Callable[[list[PredictionRecord]], None]


class Recorder:
    """Writes predictions to files and passes them to observers, off the request path.

    Parameters
    ----------
    folder : Path
        The folder of the recorded predictions; each model has a subfolder.
    max_rows : int
        Maximum number of rows in the queue, and of rows held back while writing fails. Further rows are dropped and
        counted.
    observers : sequence of callable
        Called in the recorder's thread with the new records, even if they could not be written.
    """

    def __init__(self, folder: Path, max_rows: int, observers: Sequence[Observer] = ()) -> None:
        self.max_rows = max_rows
        self._observers = list(observers)
        self._log = ParquetLog(folder)
        self._lock = threading.Lock()  # guards the queue and the counts
        self._queue: list[PredictionRecord] = []
        self._queued_rows = self._unwritten_rows = self._written_rows = self._dropped_rows = 0
        self._unwritten: defaultdict[tuple[str, int, pa.Schema], list[pa.Table]] = defaultdict(list)
        self._retry_at = 0.0
        self._last_error: str | None = None
        self._failing: set[int] = set()
        self._stopping = threading.Event()
        self._deadline = 0.0  # set by stop()
        self._writer = threading.Thread(target=self._run_writer, name="recorder", daemon=True)
        self._merger = threading.Thread(target=self._run_merger, name="recorder-merging", daemon=True)

    def start(self) -> None:
        """Start recording."""
        self._writer.start()
        self._merger.start()

    def put(self, record: PredictionRecord) -> bool:
        """Queue a record without waiting; return False if it is dropped because the queue is full or closed."""
        rows = len(record.ids)
        with self._lock:
            if self._queued_rows + rows > self.max_rows or self._stopping.is_set():
                self._dropped_rows += rows
                return False
            self._queued_rows += rows
            self._queue.append(record)
            return True

    def state(self) -> dict[str, Any]:
        """Return the numbers of queued, written and dropped rows since the start, and why writing fails, if it does."""
        with self._lock:
            return {
                "queued_rows": self._queued_rows + self._unwritten_rows,
                "written_rows": self._written_rows,
                "dropped_rows": self._dropped_rows,
                "last_error": self._last_error,
            }

    def stop(self, timeout: float) -> None:
        """Write all queued records and stop; drop those that cannot be written within `timeout` seconds."""
        with self._lock:
            self._deadline = time.monotonic() + timeout
            self._stopping.set()
        for thread in (self._writer, self._merger):
            if thread.ident is not None:
                thread.join(max(self._deadline - time.monotonic(), 0))
        waiting = self.state()["queued_rows"]
        if waiting:
            logger.error("%d predictions are lost because they could not be recorded: %s", waiting, self._last_error)

    def _run_merger(self) -> None:
        try:
            merge_orphaned(self._log.folder, self._stopping)
        except Exception as error:  # damaged files of earlier sessions must not stop this one
            logger.warning("the small files of earlier sessions were not merged: %s", error)
        while not self._stopping.wait(PERIOD):
            self._log.merge(self._stopping)

    def _run_writer(self) -> None:
        due = time.monotonic() + PERIOD
        while not self._stopping.wait(max(due - time.monotonic(), 0)):
            due = max(due + PERIOD, time.monotonic())
            self._process_queue()
        self._retry_at = 0.0
        self._process_queue()
        while self._unwritten and time.monotonic() + PERIOD < self._deadline:
            time.sleep(PERIOD)
            self._write()

    def _process_queue(self) -> None:
        with self._lock:
            drained, self._queue = self._queue, []
            self._unwritten_rows += self._queued_rows
            self._queued_rows = 0
        self._build_tables(drained)
        if time.monotonic() >= self._retry_at:
            self._write()
        if drained:
            self._observe(drained)

    def _build_tables(self, drained: list[PredictionRecord]) -> None:
        """Convert records to tables, which take a ninth of the memory, and drop rows for which there is no room."""
        by_model: defaultdict[ModelIdentity, list[PredictionRecord]] = defaultdict(list)
        for record in drained:
            by_model[record.model].append(record)
        for model, records in by_model.items():
            rows = sum(len(record.ids) for record in records)
            table, problem = table_of(model, records)
            with self._lock:
                room = max(self.max_rows - (self._unwritten_rows - rows), 0)
                kept = min(table.num_rows, room)
                if kept:
                    self._unwritten[model.name, model.version, table.schema].append(table.slice(0, kept))
                self._unwritten_rows -= rows - kept
                self._dropped_rows += rows - kept
            if problem:
                logger.error(
                    "%d predictions are lost because they do not match the column types: %s",
                    rows - table.num_rows,
                    problem,
                )

    def _write(self) -> None:
        import pyarrow as pa

        for (name, version, schema), tables in list(self._unwritten.items()):
            table = pa.concat_tables(tables)
            try:
                self._log.append(name, version, table)
            except Exception as error:  # keep the rows and retry, whatever the error
                if self._last_error is None:
                    logger.warning("predictions cannot be recorded and are kept in memory until they can: %s", error)
                self._last_error = str(error)
                self._retry_at = time.monotonic() + RETRY
                return
            del self._unwritten[name, version, schema]
            with self._lock:
                self._unwritten_rows -= table.num_rows
                self._written_rows += table.num_rows
        if self._last_error is not None:
            logger.warning("predictions are recorded again; %d were dropped since startup", self._dropped_rows)
            self._last_error = None

    def _observe(self, drained: list[PredictionRecord]) -> None:
        for index, observer in enumerate(self._observers):
            try:
                observer(drained)
            except Exception:
                if index not in self._failing:
                    logger.exception("tracking or monitoring of predictions failed; recording continues")
                    self._failing.add(index)
