"""Assemble the prediction service from models, predictions, recording, tracking and drift monitoring."""

import gc
import threading
import time
from pathlib import Path
from typing import Any

from pipeline.params.schema import MonitorParams
from pipeline.service.drift.monitor import Monitor
from pipeline.service.drift.webhook import Webhook
from pipeline.service.models.served import ServedModel
from pipeline.service.models.watcher import Watcher
from pipeline.service.predictions import Predictions
from pipeline.service.recording.recorder import Recorder
from pipeline.service.records import Arm, PredictionRecord
from pipeline.service.settings import Settings
from pipeline.service.tracking.prometheus import Prometheus
from pipeline.service.tracking.statistics import Statistics
from pipeline.service.tracking.tracking_run import TrackedArm, TrackingRun
from pipeline.support.memory import collect_garbage_as_usual

CHECK_SECONDS = 2  # between drift checks
STOP_SECONDS = 10  # time limit for each of: writing queued predictions, ending the MLflow run


class Service:
    """A session of the prediction service, from start to stop.

    Parameters
    ----------
    settings : Settings
    params : MonitorParams
        The ``monitor`` section of params.yaml.
    folder : Path
        The pipeline folder.
    """

    def __init__(self, settings: Settings, params: MonitorParams, folder: Path) -> None:
        self.settings = settings
        arms: list[Arm] = ["production", "challenger"] if settings.challenger_version else ["production"]
        self.watcher = Watcher(settings, folder, self._warm_up)
        self.prometheus = Prometheus()
        url = settings.service_webhook_url
        webhook = Webhook(url.get_secret_value()) if url else None
        self.monitors = {arm: Monitor(params, webhook) for arm in arms}
        self.statistics = {arm: Statistics(params.window, params.min_confidence) for arm in arms}
        self.recorder = Recorder(
            folder / settings.service_predictions, settings.service_queue_rows, [self._observe, self.prometheus.observe]
        )
        self.predictions = Predictions(
            lambda: self.watcher.models, lambda: self.watcher.is_loading, settings, self.recorder.put
        )
        self.tracking = TrackingRun(
            settings.experiment_name,
            settings.mlflow_model_name,
            {arm: self._tracked_arm(arm) for arm in arms},
            settings.as_strings(),
            settings.service_tracking_seconds,
        )
        self._started = time.monotonic()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start recording, and load the model in the background; return at once."""
        self.recorder.start()
        threading.Thread(target=self._load_and_watch, name="begin", daemon=True).start()

    def stop(self) -> None:
        """Write the queued predictions and end the MLflow run, within `STOP_SECONDS` each."""
        self._stopped.set()
        self.watcher.stop()
        self.recorder.stop(STOP_SECONDS)
        self.tracking.stop(STOP_SECONDS)

    def count(self, path: str, status: int | None, elapsed_ms: float) -> None:
        """Count a request; `status` is None if it got no response."""
        self.prometheus.count_request(path, status)
        if path == "/health":
            self.statistics["production"].count_health_check(elapsed_ms)
        elif path in ("/predict", "/explain"):
            self.statistics["production"].count_request(status)

    def health(self) -> dict[str, Any]:
        """Return the response of GET /health."""
        models = self.watcher.models
        model, challenger = models.get("production"), models.get("challenger")
        without_model = "loading" if self.watcher.is_loading else "no model"
        return {
            "status": "ok" if model else without_model,
            "reason": None if model else self.watcher.reason,
            "model_name": self.settings.mlflow_model_name,
            "model_version": model.version if model else None,
            "source": model.source if model else None,
            "challenger_version": challenger.version if challenger else None,
            "warnings": self.watcher.warnings,
            "drift_detected": self.monitors["production"].detected,
            "tracking": self.tracking.state(),
            "recording": self.recorder.state(),
            "uptime_seconds": round(time.monotonic() - self._started, 1),
        }

    def drift(self) -> dict[str, Any]:
        """Return the response of GET /drift."""
        challenger = self.monitors.get("challenger")
        return {**self.monitors["production"].report(), "challenger": challenger.report() if challenger else None}

    def metrics(self) -> bytes:
        """Return the response of GET /metrics."""
        reports = {arm: monitor.report() for arm, monitor in self.monitors.items()}
        return self.prometheus.exposition(self.recorder.state(), self.tracking.state(), self.watcher.models, reports)

    def _load_and_watch(self) -> None:
        """Load the model, then start the other threads: packages may break when two threads import them at once."""
        self.watcher.check_for_models()
        import scipy.stats  # noqa: F401

        gc.collect()
        collect_garbage_as_usual()  # a full collection of every imported object would stall requests for 0.2 s
        if self._stopped.is_set():
            return
        if self.settings.enable_mlflow_tracking:
            self.tracking.start()
        self.watcher.start()
        threading.Thread(target=self._check_drift, name="monitor", daemon=True).start()

    def _warm_up(self, model: ServedModel) -> None:
        """Explain one row of a newly loaded model, as the first explanation takes seconds."""
        from pipeline.service.models.explain import warm_up

        warm_up(model)

    def _observe(self, records: list[PredictionRecord]) -> None:
        """Pass records on to the statistics and monitor of their arm; called in the recorder's thread."""
        for arm, statistics in self.statistics.items():
            if arm_records := [record for record in records if record.arm == arm]:
                statistics.add(arm_records)
                self.monitors[arm].add(arm_records)

    def _tracked_arm(self, arm: Arm) -> TrackedArm:
        def version() -> int | None:
            model = self.watcher.models.get(arm)
            return model.version if model else None

        return TrackedArm(self.statistics[arm], lambda: self.monitors[arm].detected, version)

    def _check_drift(self) -> None:
        while not self._stopped.wait(CHECK_SECONDS):
            for arm, monitor in self.monitors.items():
                if model := self.watcher.models.get(arm):
                    monitor.check(model)
