"""The ASGI application of the service."""

import asyncio
import hmac
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.service.predictions import RETRY_AFTER
from pipeline.service.requests.bad_request import BadRequest
from pipeline.service.requests.reading import MemoryBudget, content_length, read_body
from pipeline.service.service import Service
from pipeline.service.tracking.prometheus import CONTENT_TYPE
from pipeline.service.web.openapi import cached_document
from pipeline.service.web.pages import add_pages
from pipeline.service.web.routes import API_KEY_HEADER, Handler, add_routes

# Bodies up to this many bytes are parsed on the event loop: tens of rows, in well below a millisecond.
SMALL_BODY_BYTES = 8192
WRONG_KEY = f"the API key is missing or wrong: send the value of SERVICE_API_KEY in the header {API_KEY_HEADER}"
MAX_LARGE_BODIES = 32  # bodies of the maximum size that fit into the memory budget


def create_app(service: Service) -> ASGIApp:
    """Return the application of a service, which starts and stops with it.

    It is a FastAPI application, except that POST /predict bypasses FastAPI's middleware, which would take a third of
    the time of a single-row request.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await asyncio.get_running_loop().run_in_executor(None, service.stop)

    app = FastAPI(title=service.settings.mlflow_model_name, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.openapi = cached_document(app, lambda: service.watcher.models.get("production"))  # type: ignore[method-assign]
    add_pages(app)
    endpoints = Endpoints(service)
    protected: dict[str, Handler] = {
        "/predict": endpoints.predict,
        "/explain": endpoints.explain,
        "/model": endpoints.model,
        "/drift": endpoints.drift,
        "/metrics": endpoints.metrics,
    }
    handlers = {
        path: _count_responses(service, path, _require_key(service, handler)) for path, handler in protected.items()
    }
    handlers["/health"] = _count_responses(service, "/health", endpoints.health)
    add_routes(app, handlers, service.settings)

    def http_error(request: Request, error: Exception) -> Response:
        """Return the response for an unknown path or method, in the format of all other errors."""
        assert isinstance(error, HTTPException)
        service.count("other", error.status_code, 0.0)
        detail = [{"loc": [], "msg": f"{error.detail}: see /docs", "type": "http"}]
        return _json({"detail": detail}, error.status_code, error.headers)

    app.add_exception_handler(HTTPException, http_error)

    async def with_fast_predict(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/predict" and scope["method"] == "POST":
            response = await handlers["/predict"](Request(scope, receive))
            await response(scope, receive, send)
        else:
            await app(scope, receive, send)

    return with_fast_predict


class Endpoints:
    """The handlers of all paths."""

    def __init__(self, service: Service) -> None:
        self._service, self._settings = service, service.settings
        self._batches = ThreadPoolExecutor(2, thread_name_prefix="batch")
        self._explanations = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._memory = MemoryBudget(MAX_LARGE_BODIES * service.settings.service_max_body_bytes)

    async def predict(self, request: Request) -> Response:
        """Predict rows; small bodies on the event loop, which is faster than handing them to a thread."""
        predictions, headers = self._service.predictions, request.headers
        predictions.models()  # without a model, fail before reading the body
        content_type, accept = headers.get("content-type", ""), headers.get("accept", "")
        key = headers.get("x-request-key", "").encode()
        if 0 < content_length(request) <= SMALL_BODY_BYTES:
            body = await self._small_body(request)
            started = time.perf_counter()
            parsed = predictions.parse_request(body, content_type, accept, key)
            content, media_type = (
                predictions.predict(parsed, started)
                if parsed.is_quick
                else await self._run(self._batches, predictions.predict, parsed, started)
            )
            return Response(content, media_type=media_type)
        async with self._large_body(request) as body:
            started = time.perf_counter()  # the latency includes waiting for a thread
            parsed = await self._run(self._batches, predictions.parse_request, body, content_type, accept, key)
            content, media_type = await self._run(self._batches, predictions.predict, parsed, started)
            return Response(content, media_type=media_type)

    async def explain(self, request: Request) -> Response:
        """Explain the predictions of rows."""
        predictions, headers = self._service.predictions, request.headers
        predictions.models()
        async with self._large_body(request) as body:
            key, content_type = headers.get("x-request-key", "").encode(), headers.get("content-type", "")
            return _json(await self._run(self._explanations, predictions.explain, body, content_type, key))

    async def health(self, request: Request) -> Response:
        """Return whether a model is being served, and warnings for the operator."""
        report = self._service.health()
        headers = RETRY_AFTER if report["status"] == "loading" else None
        return _json(report, 200 if report["status"] == "ok" else 503, headers)

    async def model(self, request: Request) -> Response:
        """Describe the production model."""
        return _json(self._service.predictions.models()["production"].card)

    async def drift(self, request: Request) -> Response:
        """Return the result of the last drift check."""
        self._service.predictions.models()
        return _json(self._service.drift())

    async def metrics(self, request: Request) -> Response:
        """Return the metrics in Prometheus text format."""
        return Response(self._service.metrics(), media_type=CONTENT_TYPE)

    def _large_body(self, request: Request) -> AbstractAsyncContextManager[bytes]:
        settings = self._settings
        return self._memory.body(request, settings.service_max_body_bytes, settings.service_read_timeout_seconds)

    async def _small_body(self, request: Request) -> bytes:
        settings = self._settings
        return await read_body(request, settings.service_max_body_bytes, settings.service_read_timeout_seconds)

    async def _run(self, pool: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)


def _require_key(service: Service, handler: Handler) -> Handler:
    """Return a handler that refuses requests without the API key, if one is set."""
    secret = service.settings.service_api_key
    if secret is None:
        return handler
    expected = secret.get_secret_value().encode()

    async def protected(request: Request) -> Response:
        key = request.headers.get(API_KEY_HEADER, "").encode("latin-1")
        if not hmac.compare_digest(key, expected):
            detail = [{"loc": ["header", "x-api-key"], "msg": WRONG_KEY, "type": "api_key"}]
            return _error_response(BadRequest(401, detail))
        return await handler(request)

    return protected


def _count_responses(service: Service, path: str, handler: Handler) -> Handler:
    """Return a handler that counts the responses of a path by status."""

    async def counted(request: Request) -> Response:
        started = time.perf_counter()
        status: int | None = None  # stays None if the request is cancelled
        try:
            response = await handler(request)
            status = response.status_code
        except BadRequest as error:
            response = _error_response(error)
            status = error.status
        except Exception:
            status = 500
            raise
        finally:
            service.count(path, status, (time.perf_counter() - started) * 1000)
        return response

    return counted


def _json(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, "application/json")


def _error_response(error: BadRequest) -> Response:
    return _json({"detail": error.detail}, error.status, error.headers)
