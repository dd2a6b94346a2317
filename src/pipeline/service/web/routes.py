"""The endpoints of the service and their documentation in FastAPI."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Security
from fastapi.security import APIKeyHeader
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from pipeline.service.requests.bodies import ARROW, CSV, JSON
from pipeline.service.settings import Settings
from pipeline.service.web.response_models import Drift, Error, Health, Model

Handler = Callable[[Request], Awaitable[Response]]
Responses = dict[int | str, dict[str, Any]]  # by status, as FastAPI expects them
API_KEY_HEADER = "X-API-Key"
ERRORS = {
    400: "The body cannot be parsed as its content type",
    401: "The API key is missing or wrong",
    408: "The body did not arrive in time",
    413: "The body is too large, or has too many rows",
    415: "The content type is not supported",
    422: "The body has no rows, a column is missing, unknown or repeated, or a value is invalid for its column",
    503: "No model is being served, or not yet",
}
RETRY_AFTER = {
    "Retry-After": {"description": "Seconds, while the model is being loaded.", "schema": {"type": "integer"}}
}
BODY_ERRORS = (400, 408, 413, 415, 422, 503)
REQUEST_KEY = {
    "name": "X-Request-Key",
    "in": "header",
    "description": "While a challenger is served, requests with the same key get predictions of the same version.",
    "schema": {"type": "string"},
}


def add_routes(app: FastAPI, handlers: Mapping[str, Handler], settings: Settings) -> None:
    """Add all endpoints to an application.

    The response models are for the documentation only: handlers write their responses themselves, without validation.

    Parameters
    ----------
    app : FastAPI
    handlers : mapping of str to callable
        The handler of each path.
    settings : Settings
        The source of the documented limits, and of whether an API key is required.
    """
    security = []
    if settings.service_api_key:
        security = [Security(APIKeyHeader(name=API_KEY_HEADER, scheme_name="key", auto_error=False))]

    def add(path: str, summary: str, responses: Responses, errors: tuple[int, ...], **options: Any) -> None:
        error_responses: Responses = {status: {"model": Error, "description": ERRORS[status]} for status in errors}
        if 503 in errors:
            error_responses[503]["headers"] = RETRY_AFTER
        if security and path != "/health":
            options["dependencies"] = security
            error_responses[401] = {"model": Error, "description": ERRORS[401]}
        app.add_api_route(
            path,
            handlers[path],
            summary=summary,
            operation_id=path.removeprefix("/"),
            response_model=None,
            responses={**responses, **dict(sorted(error_responses.items()))},
            **{"methods": ["GET"], **options},
        )
        if "methods" not in options:
            app.add_route(path, handlers[path], methods=["HEAD"])

    predict = {
        "description": f"Send at most {settings.service_max_rows:,} rows and {settings.service_max_body_bytes:,} bytes."
        " Predictions are in the order of the rows, as JSON or, if the Accept header prefers it, as CSV or an Arrow "
        "stream.",
        "openapi_extra": _body(
            {CSV: _text("A header and rows; an empty field is a missing value."),
             ARROW: {"schema": {"description": "An uncompressed Arrow IPC stream of record batches."}}}
        ),
    }  # fmt: skip
    explain = {
        "description": f"Send at most {settings.service_max_explained_rows:,} rows. base_value plus the sum of "
        "shap_values equals the prediction, in the given unit. For multiclass models, both map each class to its "
        "value.",
        "openapi_extra": _body({}),
    }
    predictions = {JSON: _one_or_many("Prediction"), CSV: _text("A header and predictions."), ARROW: {"schema": {}}}
    explanations = {JSON: _one_or_many("Explanation")}
    health: Responses = {
        200: {"model": Health, "description": "A model is being served"},
        503: {"model": Health, "description": "No model is being served; reason says why", "headers": RETRY_AFTER},
    }
    add("/predict", "Predict one row or many", _ok("A prediction, or a list of them", predictions), BODY_ERRORS,
        methods=["POST"], **predict)  # fmt: skip
    add("/explain", "Explain the prediction of one row or many by SHAP values",
        _ok("An explanation, or a list of them", explanations), BODY_ERRORS, methods=["POST"], **explain)  # fmt: skip
    add("/model", "Describe the model being served", _documented(Model), (503,))
    add(
        "/drift",
        "Get the result of the last drift check",
        {200: {"model": Drift, "description": "The result of the last drift check"}},
        (503,),
    )
    metrics = _ok("Metrics in Prometheus text format", {"text/plain": {"schema": {"type": "string"}}})
    add("/metrics", "Get metrics for Prometheus", metrics, (), response_class=Response)
    add("/health", "Check whether a model is being served", health, ())


def _body(other_content: dict[str, Any]) -> dict[str, Any]:
    content = {JSON: _one_or_many("Row"), **other_content}
    return {"parameters": [REQUEST_KEY], "requestBody": {"required": True, "content": content}}


def _documented(model: type[BaseModel]) -> Responses:
    return {200: {"model": model, "description": model.__doc__}}


def _ok(description: str, content: dict[str, Any]) -> Responses:
    return {200: {"description": description, "content": content}}


def _text(description: str) -> dict[str, Any]:
    return {"schema": {"type": "string", "description": description}}


def _one_or_many(name: str) -> dict[str, Any]:
    """Return a schema for one or many objects of a component schema, which `build_document` fills in."""
    one = {"$ref": f"#/components/schemas/{name}"}
    return {"schema": {"oneOf": [one, {"type": "array", "items": one, "minItems": 1}]}}
