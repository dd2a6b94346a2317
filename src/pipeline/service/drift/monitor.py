"""The watch over one arm: the newest predictions of its model are judged from time to time, and alarms are raised."""

import logging
import threading
from datetime import UTC, datetime
from typing import Any

from pipeline.params.schema import MonitorParams
from pipeline.service.answered import Answered
from pipeline.service.drift.comparison import Comparer
from pipeline.service.drift.rules import judge, recent
from pipeline.service.drift.webhook import Webhook
from pipeline.service.drift.window import Rows, Window
from pipeline.service.models.served import ServedModel

logger = logging.getLogger(__name__)
NO_PROFILE = "the model was logged without a reference profile: train it again to compare rows with its training rows"


class Monitor:
    """Judges the newest predictions of the model that an arm serves.

    An alarm lasts until `min_rows` newer predictions have come without it, so that what lies at a limit does not begin
    and end with each look. A new model begins with an empty window and without alarms.

    Parameters
    ----------
    params : MonitorParams
    webhook : Webhook, optional
        Told when alarms begin and end.
    """

    def __init__(self, params: MonitorParams, webhook: Webhook | None) -> None:
        self._params, self._webhook = params, webhook
        self._lock = threading.Lock()  # of the window, and held for microseconds
        self._window: Window | None = None
        self._looking = threading.Lock()
        self._looked: tuple[Window, int] | None = None  # which window, and how many rows it had had
        self._comparer: Comparer | None = None
        self._alarms: dict[str, tuple[str, int]] = {}  # by what is judged: in words, and the rows when last seen
        self._report = self._empty()

    @property
    def detected(self) -> bool:
        """Whether there is an alarm."""
        return bool(self._report["detected"])

    def report(self) -> dict[str, Any]:
        """Return what the last look found, as values for JSON; it is not changed any more."""
        return self._report

    def add(self, answered: list[Answered]) -> None:
        """Take what the arm has answered."""
        with self._lock:
            for one in answered:
                if self._window is None or self._window.model is not one.model:
                    self._window = Window(one.model, self._params.window)
                self._window.add(one)

    def check(self, model: ServedModel) -> None:
        """Look at the window, unless nothing has come since the last look.

        Parameters
        ----------
        model : ServedModel
            Which answers now: where it is another than before, the watch begins anew, without waiting for its answers.
        """
        with self._looking:
            with self._lock:
                if self._window and self._window.model is not model.identity:
                    self._window = Window(model.identity, self._params.window)
                window = self._window
                if window is None or self._looked == (window, window.total):
                    return
                rows, total = window.rows(), window.total
            is_new = self._looked is None or self._looked[0] is not window
            self._looked = window, total
            try:
                self._look(model, rows.newest(self._params.window), total, is_new)
            except Exception:  # the watch must go on
                logger.exception("the newest predictions could not be judged")

    def _look(self, model: ServedModel, rows: Rows, total: int, is_new: bool) -> None:
        params = self._params
        if is_new:
            self._comparer = Comparer(model, model.profile) if model.profile else None
        report = self._empty() | {
            "model_version": model.version,
            "checked_at": _now(),
            "recent": recent(rows, params) if total else {},
            "note": None if model.profile else NO_PROFILE,
        }
        report["window"]["rows"] = len(rows.ids)
        found: dict[str, str] = {}
        if len(rows.ids) >= params.min_rows:
            found = self._judge(rows, report)
        self._update(model, found, total, is_new)
        alarms = [text for text, _ in self._alarms.values()]
        self._report = report | {"detected": bool(alarms), "alarms": alarms}

    def _judge(self, rows: Rows, report: dict[str, Any]) -> dict[str, str]:
        """Fill a report, and return the alarms in words by what they are of."""
        params, found = self._params, {}
        for rule in judge(report["recent"], params):
            report["rules"].append({"name": rule.name, "value": rule.value, "limit": rule.limit, "alarm": rule.alarm})
            if rule.alarm:
                found[f"rule {rule.name}"] = rule.told
        if self._comparer is None or params.psi is None:
            return found
        columns, prediction = self._comparer.columns(rows), self._comparer.prediction(rows)
        confidence = self._comparer.confidence(rows)
        every = [*columns, prediction, *([confidence] if confidence else [])]
        alpha = params.alpha / sum(one.n_tests for one in every)
        told = []
        for place, one in enumerate(every):
            alarms = one.alarms(alpha, params.psi)
            told.append(one.told(bool(alarms)))
            found |= {f"comparison {place}": "; ".join(alarms)} if alarms else {}
        report["columns"] = told[: len(columns)]
        report["prediction"] = told[len(columns)]
        report["confidence"] = told[-1] if confidence else None
        return found

    def _update(self, model: ServedModel, found: dict[str, str], total: int, is_new: bool) -> None:
        """Let alarms begin and end, and tell of it."""
        before, lasting = self._alarms, self._params.min_rows
        kept = {} if is_new else {name: one for name, one in before.items() if total - one[1] < lasting}
        self._alarms = kept | {name: (text, total) for name, text in found.items()}
        began = [text for name, text in found.items() if is_new or name not in before]
        ended = [text for name, (text, _) in before.items() if is_new or name not in self._alarms]
        name = f"{model.name} version {model.version}"
        if ended and is_new:
            logger.warning("%s is watched anew; until now there was an alarm: %s", name, "; ".join(ended))
        elif ended:
            logger.warning("no alarm any more of %s: %s", name, "; ".join(ended))
        if began:
            logger.warning("alarm of %s: %s", name, "; ".join(began))
        if self._webhook and (began or ended):
            alarms = [text for text, _ in self._alarms.values()]
            self._webhook.send(
                {
                    "text": f"{name}: " + ("; ".join(alarms) or ("watched anew" if is_new else "no alarm any more")),
                    "model_name": model.name,
                    "model_version": model.version,
                    "detected": bool(alarms),
                    "began": began,
                    "ended": ended,
                    "alarms": alarms,
                    "time": _now(),
                }
            )

    def _empty(self) -> dict[str, Any]:
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
