"""The service's paths, as FastAPI documents them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Security
from fastapi.security import APIKeyHeader
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from pipeline.service.requests.bodies import ARROW, CSV, JSON
from pipeline.service.settings import Settings
from pipeline.service.web.answer_models import Drift, Error, Health, Model

Handler = Callable[[Request], Awaitable[Response]]
Responses = dict[int | str, dict[str, Any]]  # by status, as FastAPI takes them
KEY = "X-API-Key"
REFUSALS = {
    400: "The body is not what its content type says",
    401: "The API key is missing or wrong",
    408: "The body did not arrive in time",
    413: "The body is too large, or has too many rows",
    415: "The content type is another",
    422: "A column is missing, unknown or there twice, or a value is not what its column takes; or there is no row",
    503: "No model is served",
}
OF_BODIES = (400, 408, 413, 415, 422, 503)
REQUEST_KEY = {
    "name": "X-Request-Key",
    "in": "header",
    "description": "Requests of the same key are answered by the same version while a challenger is tried.",
    "schema": {"type": "string"},
}


def add_routes(app: FastAPI, handlers: Mapping[str, Handler], settings: Settings) -> None:
    """Add the handlers of all paths.

    What they answer is documented, and not validated: they write it themselves.

    Parameters
    ----------
    app : FastAPI
    handlers : mapping of str to callable
        By path.
    settings : Settings
        Whose limits are named, and whether there is an API key.
    """
    guard = [Security(APIKeyHeader(name=KEY, scheme_name="key", auto_error=False))] if settings.service_api_key else []

    def add(path: str, summary: str, responses: Responses, refusals: tuple[int, ...], **further: Any) -> None:
        refused = {status: {"model": Error, "description": REFUSALS[status]} for status in refusals}
        if guard and path != "/health":
            further["dependencies"] = guard
            refused[401] = {"model": Error, "description": REFUSALS[401]}
        app.add_api_route(
            path,
            handlers[path],
            summary=summary,
            operation_id=path.removeprefix("/"),
            response_model=None,
            responses={**responses, **dict(sorted(refused.items()))},
            **{"methods": ["GET"], **further},
        )
        if "methods" not in further:
            app.add_route(path, handlers[path], methods=["HEAD"])

    predict = {
        "description": f"Send at most {settings.service_max_rows:,} rows and {settings.service_max_body_bytes:,} bytes."
        " The answers are in the order of the rows; CSV or an Arrow stream where the header Accept asks for it.",
        "openapi_extra": _body(
            {CSV: _text("A header and rows; an empty field is missing."),
             ARROW: {"schema": {"description": "An uncompressed stream of record batches (IPC)."}}}
        ),
    }  # fmt: skip
    explain = {
        "description": f"Send at most {settings.service_max_explained_rows:,} rows. base_value and the sum of "
        "shap_values are the prediction in its unit; of more than two labels, of each label.",
        "openapi_extra": _body({}),
    }
    answers = {JSON: _one_or_many("Prediction"), CSV: _text("A header and answers."), ARROW: {"schema": {}}}
    explanations = {JSON: _one_or_many("Explanation")}
    health: Responses = {
        200: {"model": Health, "description": "A model is served"},
        503: {"model": Health, "description": "No model is served; reason says why"},
    }
    add("/predict", "Predict a row, or many", _ok("An answer, or a list of them", answers), OF_BODIES,
        methods=["POST"], **predict)  # fmt: skip
    add("/explain", "Explain the prediction of a row, or of many, by SHAP values",
        _ok("An explanation, or a list of them", explanations), OF_BODIES, methods=["POST"], **explain)  # fmt: skip
    add("/model", "The model that is served", _documented(Model), (503,))
    add(
        "/drift",
        "The last look at the recent predictions",
        {200: {"model": Drift, "description": "The last look"}},
        (503,),
    )
    metrics = _ok("Prometheus's text format", {"text/plain": {"schema": {"type": "string"}}})
    add("/metrics", "Counters and histograms for Prometheus", metrics, (), response_class=Response)
    add("/health", "Whether rows are answered", health, ())


def _body(further: dict[str, Any]) -> dict[str, Any]:
    content = {JSON: _one_or_many("Row"), **further}
    return {"parameters": [REQUEST_KEY], "requestBody": {"required": True, "content": content}}


def _documented(model: type[BaseModel]) -> Responses:
    return {200: {"model": model, "description": model.__doc__}}


def _ok(description: str, content: dict[str, Any]) -> Responses:
    return {200: {"description": description, "content": content}}


def _text(description: str) -> dict[str, Any]:
    return {"schema": {"type": "string", "description": description}}


def _one_or_many(name: str) -> dict[str, Any]:
    """Return a schema that depends on the model that is served (`document`), or a list of it."""
    one = {"$ref": f"#/components/schemas/{name}"}
    return {"schema": {"oneOf": [one, {"type": "array", "items": one, "minItems": 1}]}}
