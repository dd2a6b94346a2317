"""Track a session of the service as an MLflow run, in background threads that never delay requests."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import PipelineError
from pipeline.service.records import Arm
from pipeline.service.tracking.session_runs import BATCH, Point, SessionRuns
from pipeline.service.tracking.statistics import Statistics
from pipeline.store.open import mask_passwords

log = logging.getLogger(__name__)

MAX_POINTS = 1000  # waiting for the store: eight hours at one every 30 seconds
FIRST_PAUSE, LONGEST_PAUSE, LAST_PAUSE = 1.0, 60.0, 0.5  # seconds between attempts; the last one applies while stopping
LONGEST_CALL = 30  # seconds after which an unfinished call to the store is reported as failing
LONGEST_ERROR = 300  # characters


@dataclass(frozen=True)
class TrackedArm:
    """The sources of the metrics of an arm.

    Attributes
    ----------
    statistics : Statistics
    drift_detected : callable
        Returns whether there is a drift alarm now.
    version : callable
        Returns the model version served now; None without a model.
    """

    statistics: Statistics
    drift_detected: Callable[[], bool]
    version: Callable[[], int | None]


class TrackingRun:
    """The MLflow run of a session, with a nested run for a challenger.

    One thread takes a point of the metrics every `seconds`. Another writes the points to the store, and retries with
    exponential backoff while the store is not available. Both are daemon threads, as MLflow's client may wait minutes
    for a server that does not respond; `stop` waits no longer than its timeout.

    Parameters
    ----------
    experiment : str
        Name of the experiment, which is created on first use.
    model_name : str
    arms : mapping of str to Tracked
    params : mapping of str to str
        Params of the run: the settings, with secrets masked.
    seconds : float
        Time between points.
    max_points : int
        Maximum number of points waiting for the store. Beyond it, the oldest are dropped and counted.
    """

    def __init__(
        self,
        experiment: str,
        model_name: str,
        arms: Mapping[Arm, TrackedArm],
        params: Mapping[str, str],
        seconds: float,
        max_points: int = MAX_POINTS,
    ) -> None:
        self.arms = arms
        self.seconds = seconds
        self.max_points = max_points
        self._runs = SessionRuns(experiment, model_name, list(arms), params)
        self._lock = threading.Lock()
        self._points: deque[Point] = deque()
        self._being_sent = 0
        self._dropped = 0
        self._served: dict[Arm, dict[int, str]] = {arm: {} for arm in arms}
        self._state = "off"
        self._error: str | None = None
        self._called: float | None = None  # when the current call to the store started
        self._stopping = threading.Event()
        self._complete = threading.Event()  # set after the last point was taken
        self._work_available = threading.Event()  # wakes up the writer
        self._abandoned = threading.Event()
        self._clock = threading.Thread(target=self._take_points, name="tracking-clock", daemon=True)
        self._writer = threading.Thread(target=self._write, name="tracking-writer", daemon=True)

    def start(self) -> None:
        """Start tracking; return at once, whether or not the store is available."""
        self._state = "starting"
        self._clock.start()
        self._writer.start()

    def state(self) -> dict[str, Any]:
        """Return the state of tracking, as GET /health reports it.

        Returns
        -------
        dict
            ``state``: "off" (not started), "starting", "ok", or "retrying" (the store is not available, or has not
            responded for half a minute); ``run_id``, None until the run is created; ``error``, the reason for
            retrying; ``queued_points``; ``dropped_points``.
        """
        with self._lock:
            state, error = self._state, self._error
            silent = 0.0 if self._called is None else time.monotonic() - self._called
            if state != "retrying" and silent > LONGEST_CALL:
                state, error = "retrying", f"the MLflow store has not responded for {silent:.0f} seconds"
            return {
                "state": state,
                "run_id": self._runs.run_ids.get("production"),
                "error": error,
                "queued_points": len(self._points) + self._being_sent,
                "dropped_points": self._dropped,
            }

    def stop(self, timeout: float) -> None:
        """Take a last point, write all waiting points, and end the run with status FINISHED.

        Points that cannot be written within `timeout` seconds are dropped, and their number is logged. The run then
        stays RUNNING until the next service or pipeline run on this machine marks it as FAILED.
        """
        if self._state == "off":
            return
        self._stopping.set()
        self._writer.join(timeout)
        if not self._writer.is_alive():
            return
        with self._lock:
            self._abandoned.set()
            lost = len(self._points) + self._being_sent
            self._dropped += lost
            self._points.clear()
            self._being_sent = 0
        reason = self._error or "the MLflow store does not respond"
        log.warning("tracking: the run was not ended, and %d points were not written: %s", lost, reason)

    def _take_points(self) -> None:
        step = 0
        while not self._stopping.is_set():
            self._take_point(step)
            self._stopping.wait(self.seconds)
            step += 1
        self._take_point(step)
        self._complete.set()
        self._work_available.set()

    def _take_point(self, step: int) -> None:
        now = datetime.now(UTC)
        points: dict[Arm, dict[str, float]] = {}
        for arm, tracked in self.arms.items():
            metrics, version = tracked.statistics.point(tracked.drift_detected()), tracked.version()
            changed = version is not None and self._note_version(arm, version, now)
            if version is not None and (metrics or changed):
                metrics["model_version"] = float(version)
            if metrics:
                points[arm] = metrics
        if points:
            with self._lock:
                self._points.append(Point(step, int(now.timestamp() * 1000), points))
                self._drop_oldest()
            self._work_available.set()

    def _note_version(self, arm: Arm, version: int, now: datetime) -> bool:
        """Note which model version is served, and return whether it changed."""
        with self._lock:
            served = self._served[arm]
            if served and next(reversed(served)) == version:
                return False
            served.pop(version, None)  # a version that is served again moves to the end
            served[version] = f"{now:%Y-%m-%dT%H:%M:%SZ}"
            return True

    def _drop_oldest(self) -> None:
        while len(self._points) > self.max_points:
            self._points.popleft()
            self._dropped += 1

    def _write(self) -> None:
        pause = FIRST_PAUSE
        while not self._abandoned.is_set():
            self._work_available.clear()
            complete = self._complete.is_set()
            try:
                self._write_points()
                if complete:
                    self._runs.end()
            except Exception as error:  # retry whatever error the client of the store raises
                self._report_failure(error)
                # While stopping, keep trying until the timeout: the server may be restarting too.
                _ = self._abandoned.wait(LAST_PAUSE) if self._stopping.is_set() else self._stopping.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            self._report_success()
            if complete:
                return
            pause = FIRST_PAUSE
            self._work_available.wait()

    def _write_points(self) -> None:
        self._note_call()
        self._runs.open()
        while points := self._take():
            self._note_call()
            try:
                self._runs.write(points, self._served_versions())
            except BaseException:
                self._put_back(points)
                raise
            with self._lock:
                self._being_sent = 0

    def _note_call(self) -> None:
        with self._lock:
            self._called = time.monotonic()

    def _take(self) -> list[Point]:
        """Remove and return as many waiting points as fit into one call, but at least one."""
        with self._lock:
            points: list[Point] = []
            size = 0
            while self._points and (not points or size + self._points[0].size <= BATCH):
                points.append(self._points.popleft())
                size += points[-1].size
            self._being_sent = len(points)
            return points

    def _put_back(self, points: list[Point]) -> None:
        with self._lock:
            self._being_sent = 0
            if not self._abandoned.is_set():
                self._points.extendleft(reversed(points))
                self._drop_oldest()

    def _served_versions(self) -> dict[Arm, dict[int, str]]:
        with self._lock:
            return {arm: dict(served) for arm, served in self._served.items()}

    def _report_failure(self, error: Exception) -> None:
        text = error.problem if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
        text = mask_passwords(" ".join(text.split()))[:LONGEST_ERROR]
        with self._lock:
            is_first = self._state != "retrying"
            self._state, self._error, self._called = "retrying", text, None
        if is_first:
            log.warning("tracking: %s; writing is retried, predictions are not affected", text)

    def _report_success(self) -> None:
        with self._lock:
            has_recovered = self._state == "retrying"
            self._state, self._error, self._called = "ok", None, None
        if has_recovered:
            log.warning("tracking: the MLflow store is available again, and all waiting points are written")
