"""Turn a request body into a response body: parse it, choose an arm, predict and record."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from pipeline.service.models.ab import choose_arm
from pipeline.service.models.served import ServedModel
from pipeline.service.records import Arm, PredictionRecord
from pipeline.service.requests.bad_request import BadRequest
from pipeline.service.requests.bodies import parse
from pipeline.service.requests.responses import render
from pipeline.service.requests.schema import ParsedRows
from pipeline.service.settings import Settings

RETRY_AFTER = {"Retry-After": "2"}  # seconds, while the first model is being loaded


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """A parsed request and the model that predicts its rows.

    Attributes
    ----------
    accept : str
        The request's Accept header.
    """

    arm: Arm
    model: ServedModel
    parsed: ParsedRows
    accept: str

    @property
    def is_quick(self) -> bool:
        """Whether predicting takes a few milliseconds at most."""
        return self.model.engine.uses_graph(self.parsed.n_rows)


class Predictions:
    """Predicts requests with the served models, and hands every result over for recording.

    Parameters
    ----------
    models : callable
        Returns the served models by arm.
    is_loading : callable
        Returns whether the first model is still being loaded.
    settings : Settings
    put : callable
        Called with each `PredictionRecord`; must return without waiting.
    """

    def __init__(
        self,
        models: Callable[[], Mapping[Arm, ServedModel]],
        is_loading: Callable[[], bool],
        settings: Settings,
        put: Callable[[PredictionRecord], object],
    ) -> None:
        self._models, self._is_loading, self._settings, self._put = models, is_loading, settings, put
        self._session, self._counter = secrets.token_hex(5), count(1)

    def models(self) -> Mapping[Arm, ServedModel]:
        """Return the served models by arm.

        Raises
        ------
        BadRequest
            503 when no production model is served; with a Retry-After header while it is being loaded.
        """
        models = self._models()
        if "production" not in models:
            if self._is_loading():
                message = f"the model is being loaded: send the request again in {RETRY_AFTER['Retry-After']} seconds"
                raise BadRequest(503, [{"loc": [], "msg": message, "type": "loading"}], RETRY_AFTER)
            raise BadRequest(503, [{"loc": [], "msg": "no model is served: GET /health says why", "type": "no_model"}])
        return models

    def parse_request(
        self, body: bytes, content_type: str, accept: str, key: bytes, max_rows: int | None = None
    ) -> PredictionRequest:
        """Choose the arm of a request and parse its body against that model's columns.

        Parameters
        ----------
        body : bytes
        content_type, accept : str
            The request's headers.
        key : bytes
            The X-Request-Key header, which decides the arm; the body decides if it is empty.
        max_rows : int, optional
            SERVICE_MAX_ROWS by default.

        Raises
        ------
        BadRequest
            When the body does not match the model's columns.
        """
        models = self.models()
        arm: Arm = choose_arm(key or body, self._settings.challenger_share) if "challenger" in models else "production"
        model = models[arm]
        return PredictionRequest(
            arm,
            model,
            parse(model.schema, body, content_type, max_rows or self._settings.service_max_rows),
            accept,
        )

    def predict(self, request: PredictionRequest, started: float) -> tuple[bytes, str]:
        """Predict and record a request, and return the response body and its media type.

        Parameters
        ----------
        request : PredictionRequest
        started : float
            ``time.perf_counter()`` when the request body was complete.
        """
        model, parsed = request.model, request.parsed
        outputs = model.predict(parsed.columns, parsed.n_rows)
        ids = [f"{self._session}-{next(self._counter)}" for _ in range(parsed.n_rows)]
        response = render(request.accept, model.identity, outputs, ids, parsed.single)
        elapsed_ms = (time.perf_counter() - started) * 1000
        self._put(PredictionRecord(time.time(), ids, request.arm, model.identity, parsed.columns, outputs, elapsed_ms))
        return response

    def explain(self, body: bytes, content_type: str, key: bytes) -> Any:
        """Return an explanation for a body of one row, or a list of explanations for a list of rows.

        Raises
        ------
        BadRequest
            When the body does not match the model's columns.
        """
        from pipeline.service.models.explain import explain

        request = self.parse_request(body, content_type, "", key, self._settings.service_max_explained_rows)
        explanations = explain(request.model, request.parsed.columns, request.parsed.n_rows)
        return explanations[0] if request.parsed.single else explanations
