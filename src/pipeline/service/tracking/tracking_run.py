"""One MLflow run a session of the service, written beside the requests and never in their way."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import PipelineError
from pipeline.service.answered import Arm
from pipeline.service.tracking.session_runs import BATCH, Point, SessionRuns
from pipeline.service.tracking.statistics import Statistics
from pipeline.store.open import without_password

log = logging.getLogger(__name__)

MAX_POINTS = 1000  # that wait for the store: eight hours of one each 30 seconds
FIRST_PAUSE, LONGEST_PAUSE, LAST_PAUSE = 1.0, 60.0, 0.5  # seconds between attempts; the last while stopping
LONGEST_CALL = 30  # seconds after which a call to the store counts as failing
LONGEST_ERROR = 300


@dataclass(frozen=True)
class Tracked:
    """What is tracked of an arm.

    Attributes
    ----------
    statistics : Statistics
    drift_detected : callable
        Returns whether there is an alarm now.
    version : callable
        Returns the version that answers now, None without a model.
    """

    statistics: Statistics
    drift_detected: Callable[[], bool]
    version: Callable[[], int | None]


class TrackingRun:
    """The MLflow run of a session, with a nested run for a challenger.

    One thread takes a point of metrics each `seconds`, another writes what waits, and tries again, less and less
    often, while the store is away. Both are daemons: a call to a server that hangs ends no sooner than MLflow gives
    it up, which may take minutes, and `stop` then leaves it behind.

    Parameters
    ----------
    experiment : str
        Created on first use.
    model_name : str
    arms : mapping of str to Tracked
    params : mapping of str to str
        Of the run: the settings, without secrets.
    seconds : float
        Between points.
    max_points : int
        That wait for the store; of more, the oldest are dropped and counted.
    """

    def __init__(
        self,
        experiment: str,
        model_name: str,
        arms: Mapping[Arm, Tracked],
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
        self._called: float | None = None  # when the call that is under way began
        self._stopping = threading.Event()
        self._complete = threading.Event()  # the last point was taken
        self._arrived = threading.Event()  # something for the writer
        self._abandoned = threading.Event()
        self._clock = threading.Thread(target=self._take_points, name="tracking-clock", daemon=True)
        self._writer = threading.Thread(target=self._write, name="tracking-writer", daemon=True)

    def start(self) -> None:
        """Begin the session; returns at once, whether or not the store answers."""
        self._state = "starting"
        self._clock.start()
        self._writer.start()

    def state(self) -> dict[str, Any]:
        """Return what GET /health says of tracking.

        Returns
        -------
        dict
            ``state``: "off" (never started), "starting", "ok", or "retrying" (the store is away, or has not answered
            for half a minute); ``run_id`` once there is a run; ``error``: why it is retried; ``queued_points``;
            ``dropped_points``.
        """
        with self._lock:
            state, error = self._state, self._error
            silent = 0.0 if self._called is None else time.monotonic() - self._called
            if state != "retrying" and silent > LONGEST_CALL:
                state, error = "retrying", f"the MLflow store has not answered for {silent:.0f} seconds"
            return {
                "state": state,
                "run_id": self._runs.run_ids.get("production"),
                "error": error,
                "queued_points": len(self._points) + self._being_sent,
                "dropped_points": self._dropped,
            }

    def stop(self, timeout: float) -> None:
        """Take a last point, write what waits, and end the run as FINISHED.

        What is not written within `timeout` seconds is dropped, which a line of the log tells; the run then stays
        RUNNING until the next start on this machine sweeps it as FAILED.
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
        why = self._error or "the MLflow store does not answer"
        log.warning("tracking: the run was not ended, and %d points were not written: %s", lost, why)

    def _take_points(self) -> None:
        step = 0
        while not self._stopping.is_set():
            self._take_point(step)
            self._stopping.wait(self.seconds)
            step += 1
        self._take_point(step)
        self._complete.set()
        self._arrived.set()

    def _take_point(self, step: int) -> None:
        now = datetime.now(UTC)
        points: dict[Arm, dict[str, float]] = {}
        for arm, tracked in self.arms.items():
            metrics, version = tracked.statistics.point(tracked.drift_detected()), tracked.version()
            changed = version is not None and self._begins(arm, version, now)
            if version is not None and (metrics or changed):
                metrics["model_version"] = float(version)
            if metrics:
                points[arm] = metrics
        if points:
            with self._lock:
                self._points.append(Point(step, int(now.timestamp() * 1000), points))
                self._drop_oldest()
            self._arrived.set()

    def _begins(self, arm: Arm, version: int, now: datetime) -> bool:
        """Note which version answers, and return whether that is another than before."""
        with self._lock:
            served = self._served[arm]
            if served and next(reversed(served)) == version:
                return False
            served.pop(version, None)  # of a version that is back
            served[version] = f"{now:%Y-%m-%dT%H:%M:%SZ}"
            return True

    def _drop_oldest(self) -> None:
        while len(self._points) > self.max_points:
            self._points.popleft()
            self._dropped += 1

    def _write(self) -> None:
        pause = FIRST_PAUSE
        while not self._abandoned.is_set():
            self._arrived.clear()
            complete = self._complete.is_set()
            try:
                self._write_waiting()
                if complete:
                    self._runs.end()
            except Exception as error:  # whatever the store's client raises: it is tried again
                self._failed(error)
                # While stopping, a server that is restarted at the same time is given what time there is.
                _ = self._abandoned.wait(LAST_PAUSE) if self._stopping.is_set() else self._stopping.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            self._succeeded()
            if complete:
                return
            pause = FIRST_PAUSE
            self._arrived.wait()

    def _write_waiting(self) -> None:
        self._call_begins()
        self._runs.open()
        while points := self._take():
            self._call_begins()
            try:
                self._runs.write(points, self._served_now())
            except BaseException:
                self._put_back(points)
                raise
            with self._lock:
                self._being_sent = 0

    def _call_begins(self) -> None:
        with self._lock:
            self._called = time.monotonic()

    def _take(self) -> list[Point]:
        """Take from what waits as much as one call writes, at least one point."""
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

    def _served_now(self) -> dict[Arm, dict[int, str]]:
        with self._lock:
            return {arm: dict(served) for arm, served in self._served.items()}

    def _failed(self, error: Exception) -> None:
        text = error.problem if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
        text = without_password(" ".join(text.split()))[:LONGEST_ERROR]
        with self._lock:
            first = self._state != "retrying"
            self._state, self._error, self._called = "retrying", text, None
        if first:
            log.warning("tracking: %s; it is tried again, predictions go on", text)

    def _succeeded(self) -> None:
        with self._lock:
            again = self._state == "retrying"
            self._state, self._error, self._called = "ok", None, None
        if again:
            log.warning("tracking: the MLflow store answers again, all that waited is written")
