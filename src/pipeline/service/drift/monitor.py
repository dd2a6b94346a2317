"""Monitor the predictions of one arm for drift, and raise alarms."""

import logging
import threading
from datetime import UTC, datetime
from typing import Any

from pipeline.params.schema import MonitorParams
from pipeline.service.drift.comparison import ProfileComparison
from pipeline.service.drift.rules import check_rules, recent_metrics
from pipeline.service.drift.webhook import Webhook
from pipeline.service.drift.window import Rows, Window
from pipeline.service.models.served import ServedModel
from pipeline.service.records import PredictionRecord

logger = logging.getLogger(__name__)
NO_PROFILE = (
    "the model was logged without a reference profile: retrain it to compare predictions with its training data"
)


class Monitor:
    """Checks the newest predictions of the model that an arm serves.

    An alarm lasts until `min_rows` newer predictions have come without it, so that a value close to a limit does not
    start and end an alarm at every check. A new model starts with an empty window and no alarms.

    Parameters
    ----------
    params : MonitorParams
    webhook : Webhook, optional
        Notified when alarms begin and end.
    """

    def __init__(self, params: MonitorParams, webhook: Webhook | None) -> None:
        self._params, self._webhook = params, webhook
        self._lock = threading.Lock()  # guards the window; held for microseconds
        self._window: Window | None = None
        self._check_lock = threading.Lock()
        self._last_check: tuple[Window, int] | None = None  # the window, and its total number of rows
        self._comparer: ProfileComparison | None = None
        # By rule or comparison: the text of its alarm, and the total number of rows when it was last raised.
        self._alarms: dict[str, tuple[str, int]] = {}
        self._report = self._empty_report()

    @property
    def detected(self) -> bool:
        """Whether there is an alarm now."""
        return bool(self._report["detected"])

    def report(self) -> dict[str, Any]:
        """Return the result of the last check as JSON values; later checks do not modify the returned object."""
        return self._report

    def add(self, records: list[PredictionRecord]) -> None:
        """Add predictions of the arm."""
        with self._lock:
            for record in records:
                if self._window is None or self._window.model is not record.model:
                    self._window = Window(record.model, self._params.window)
                self._window.add(record)

    def check(self, model: ServedModel) -> None:
        """Check the window, unless there are no new predictions since the last check.

        Parameters
        ----------
        model : ServedModel
            The model served now. If it changed, monitoring restarts at once, before its first prediction.
        """
        with self._check_lock:
            with self._lock:
                if self._window and self._window.model is not model.identity:
                    self._window = Window(model.identity, self._params.window)
                window = self._window
                if window is None or self._last_check == (window, window.total):
                    return
                rows, total = window.rows(), window.total
            is_new = self._last_check is None or self._last_check[0] is not window
            self._last_check = window, total
            try:
                self._update_report(model, rows.newest(self._params.window), total, is_new)
            except Exception:  # monitoring must continue
                logger.exception("the newest predictions could not be checked for drift")

    def _update_report(self, model: ServedModel, rows: Rows, total: int, is_new: bool) -> None:
        params = self._params
        if is_new:
            self._comparer = ProfileComparison(model, model.profile) if model.profile else None
        report = self._empty_report() | {
            "model_version": model.version,
            "checked_at": _now(),
            "recent": recent_metrics(rows, params) if total else {},
            "note": None if model.profile else NO_PROFILE,
        }
        report["window"]["rows"] = len(rows.ids)
        found: dict[str, str] = {}
        if len(rows.ids) >= params.min_rows:
            found = self._find_alarms(rows, report)
        self._update_alarms(model, found, total, is_new)
        alarms = [text for text, _ in self._alarms.values()]
        self._report = report | {"detected": bool(alarms), "alarms": alarms}

    def _find_alarms(self, rows: Rows, report: dict[str, Any]) -> dict[str, str]:
        """Fill in the report, and return the texts of the alarms by rule or comparison."""
        params, found = self._params, {}
        for rule in check_rules(report["recent"], params):
            report["rules"].append({"name": rule.name, "value": rule.value, "limit": rule.limit, "alarm": rule.alarm})
            if rule.alarm:
                found[f"rule {rule.name}"] = rule.message
        if self._comparer is None or params.psi is None:
            return found
        columns, prediction = self._comparer.columns(rows), self._comparer.prediction(rows)
        confidence = self._comparer.confidence(rows)
        comparisons = [*columns, prediction, *([confidence] if confidence else [])]
        alpha = params.alpha / sum(comparison.n_tests for comparison in comparisons)  # Bonferroni correction
        entries = []
        for index, comparison in enumerate(comparisons):
            alarms = comparison.alarms(alpha, params.psi)
            entries.append(comparison.to_json(bool(alarms)))
            found |= {f"comparison {index}": "; ".join(alarms)} if alarms else {}
        report["columns"] = entries[: len(columns)]
        report["prediction"] = entries[len(columns)]
        report["confidence"] = entries[-1] if confidence else None
        return found

    def _update_alarms(self, model: ServedModel, found: dict[str, str], total: int, is_new: bool) -> None:
        """Begin and end alarms, log the changes and send them to the webhook."""
        before, duration = self._alarms, self._params.min_rows
        kept = {} if is_new else {name: alarm for name, alarm in before.items() if total - alarm[1] < duration}
        self._alarms = kept | {name: (text, total) for name, text in found.items()}
        began = [text for name, text in found.items() if is_new or name not in before]
        ended = [text for name, (text, _) in before.items() if is_new or name not in self._alarms]
        name = f"{model.name} version {model.version}"
        if ended and is_new:
            logger.warning("monitoring restarts with %s; alarms until now: %s", name, "; ".join(ended))
        elif ended:
            logger.warning("alarm ended for %s: %s", name, "; ".join(ended))
        if began:
            logger.warning("alarm for %s: %s", name, "; ".join(began))
        if self._webhook and (began or ended):
            alarms = [text for text, _ in self._alarms.values()]
            self._webhook.send(
                {
                    "text": f"{name}: "
                    + ("; ".join(alarms) or ("monitoring restarts" if is_new else "all alarms have ended")),
                    "model_name": model.name,
                    "model_version": model.version,
                    "detected": bool(alarms),
                    "began": began,
                    "ended": ended,
                    "alarms": alarms,
                    "time": _now(),
                }
            )

    def _empty_report(self) -> dict[str, Any]:
        params = self._params
        return {
            "model_version": None,
            "detected": False,
            "alarms": [],
            "checked_at": None,
            "window": {"rows": 0, "size": params.window, "min_rows": params.min_rows},
            "recent": {},
            "rules": [],
            "columns": [],
            "prediction": None,
            "confidence": None,
            "alpha": params.alpha,
            "psi_limit": params.psi,
            "note": None,
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
