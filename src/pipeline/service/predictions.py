"""From a request's bytes to an answer's: parsed, assigned to an arm, predicted, recorded."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from pipeline.service.answered import Answered, Arm
from pipeline.service.models.ab import arm_of
from pipeline.service.models.served import ServedModel
from pipeline.service.requests.answers import render
from pipeline.service.requests.bad_request import BadRequest
from pipeline.service.requests.bodies import parse
from pipeline.service.requests.schema import Parsed
from pipeline.service.settings import Settings


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that can be answered.

    Attributes
    ----------
    accept : str
        The media types that the client takes.
    """

    arm: Arm
    model: ServedModel
    parsed: Parsed
    accept: str

    @property
    def is_quick(self) -> bool:
        """Whether the answer takes well below a millisecond, or a few at most."""
        return self.model.engine.is_quick(self.parsed.n_rows)


class Predictions:
    """Answers requests with the models that are served, and gives away what it answered to be recorded.

    Parameters
    ----------
    models : callable
        Returns the served models by arm.
    settings : Settings
    put : callable
        Takes each `Answered`, and must not wait.
    """

    def __init__(
        self,
        models: Callable[[], Mapping[Arm, ServedModel]],
        settings: Settings,
        put: Callable[[Answered], object],
    ) -> None:
        self._models, self._settings, self._put = models, settings, put
        self._session, self._counter = secrets.token_hex(5), count(1)

    def models(self) -> Mapping[Arm, ServedModel]:
        """Return what is served, by arm.

        Raises
        ------
        BadRequest
            503 when nothing is.
        """
        models = self._models()
        if "production" not in models:
            raise BadRequest(503, [{"loc": [], "msg": "no model is served: GET /health says why", "type": "no_model"}])
        return models

    def read(self, body: bytes, content_type: str, accept: str, key: bytes, max_rows: int | None = None) -> Asked:
        """Parse a body by the columns of the model that is to answer it; `key` is empty where the client sends none.

        Raises
        ------
        BadRequest
            When it is not what the model takes.
        """
        models = self.models()
        arm: Arm = arm_of(key or body, self._settings.challenger_share) if "challenger" in models else "production"
        model = models[arm]
        return Asked(
            arm,
            model,
            parse(model.schema, body, content_type, max_rows or self._settings.service_max_rows),
            accept,
        )

    def answer(self, asked: Asked, started: float) -> tuple[bytes, str]:
        """Answer a request whose body was there when `time.perf_counter` was `started`; return body and media type."""
        model, parsed = asked.model, asked.parsed
        outputs = model.predict(parsed.columns, parsed.n_rows)
        ids = [f"{self._session}-{next(self._counter)}" for _ in range(parsed.n_rows)]
        answer = render(asked.accept, model.identity, outputs, ids, parsed.single)
        elapsed_ms = (time.perf_counter() - started) * 1000
        self._put(Answered(time.time(), ids, asked.arm, model.identity, parsed.columns, outputs, elapsed_ms))
        return answer

    def explain(self, body: bytes, content_type: str, key: bytes) -> Any:
        """Explain the predictions of a body's rows; one row gives one explanation, a list a list.

        Raises
        ------
        BadRequest
            When it is not what the model takes.
        """
        from pipeline.service.models.explain import explain

        asked = self.read(body, content_type, "", key, self._settings.service_max_explained_rows)
        answers = explain(asked.model, asked.parsed.columns, asked.parsed.n_rows)
        return answers[0] if asked.parsed.single else answers
