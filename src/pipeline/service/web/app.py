"""The service's HTTP interface."""

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

from pipeline.service.requests.bad_request import BadRequest
from pipeline.service.requests.reading import Room, length_of, read_body
from pipeline.service.service import Service
from pipeline.service.tracking.prometheus import CONTENT_TYPE
from pipeline.service.web.openapi import documents
from pipeline.service.web.pages import add_pages
from pipeline.service.web.routes import KEY, Handler, add_routes

SMALL_BODY = 8192  # bytes up to which a body is parsed on the event loop: tens of rows, well below a millisecond
NO_KEY = f"the service wants its API key (SERVICE_API_KEY) in the header {KEY}"
LARGE_AT_ONCE = 32  # larger bodies, of the largest that are allowed, for which there is room in memory


def create_app(service: Service) -> ASGIApp:
    """Return the application of a service, which starts and stops with it.

    It is FastAPI's, but for POST /predict, which goes by its middlewares: they take a third of a single row's time.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await asyncio.get_running_loop().run_in_executor(None, service.stop)

    app = FastAPI(title=service.settings.mlflow_model_name, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.openapi = documents(app, lambda: service.watcher.models.get("production"))  # type: ignore[method-assign]
    add_pages(app)
    endpoints = Endpoints(service)
    guarded: dict[str, Handler] = {
        "/predict": endpoints.predict,
        "/explain": endpoints.explain,
        "/model": endpoints.model,
        "/drift": endpoints.drift,
        "/metrics": endpoints.metrics,
    }
    handlers = {path: _counted(service, path, _guarded(service, handler)) for path, handler in guarded.items()}
    handlers["/health"] = _counted(service, "/health", endpoints.health)
    add_routes(app, handlers, service.settings)

    def http_error(request: Request, error: Exception) -> Response:
        """Answer a wrong path or method in the form of all other errors."""
        assert isinstance(error, HTTPException)
        service.count("other", error.status_code, 0.0)
        detail = [{"loc": [], "msg": f"{error.detail}: see /docs", "type": "http"}]
        return _json({"detail": detail}, error.status_code, error.headers)

    app.add_exception_handler(HTTPException, http_error)

    async def predict_first(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/predict" and scope["method"] == "POST":
            response = await handlers["/predict"](Request(scope, receive))
            await response(scope, receive, send)
        else:
            await app(scope, receive, send)

    return predict_first


class Endpoints:
    """What answers each path."""

    def __init__(self, service: Service) -> None:
        self._service, self._settings = service, service.settings
        self._batches = ThreadPoolExecutor(2, thread_name_prefix="batch")
        self._explanations = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._room = Room(LARGE_AT_ONCE * service.settings.service_max_body_bytes)

    async def predict(self, request: Request) -> Response:
        """Answer rows; small bodies on the event loop, which is faster than handing them to a thread."""
        predictions, headers = self._service.predictions, request.headers
        predictions.models()  # before anything of the body is read
        content_type, accept = headers.get("content-type", ""), headers.get("accept", "")
        key = headers.get("x-request-key", "").encode()
        if 0 < length_of(request) <= SMALL_BODY:
            body = await self._body(request)
            started = time.perf_counter()
            asked = predictions.read(body, content_type, accept, key)
            content, media_type = (
                predictions.answer(asked, started)
                if asked.is_quick
                else await self._in(self._batches, predictions.answer, asked, started)
            )
            return Response(content, media_type=media_type)
        async with self._large_body(request) as body:
            started = time.perf_counter()  # what waits for a thread from here on is part of the answer's time
            asked = await self._in(self._batches, predictions.read, body, content_type, accept, key)
            content, media_type = await self._in(self._batches, predictions.answer, asked, started)
            return Response(content, media_type=media_type)

    async def explain(self, request: Request) -> Response:
        """Explain rows."""
        self._service.predictions.models()
        async with self._large_body(request) as body:
            key = request.headers.get("x-request-key", "").encode()
            content_type = request.headers.get("content-type", "")
            return _json(await self._in(self._explanations, self._service.predictions.explain, body, content_type, key))

    async def health(self, request: Request) -> Response:
        """Say whether rows are answered, and what else an operator should know."""
        report = self._service.health()
        return _json(report, 200 if report["status"] == "ok" else 503)

    async def model(self, request: Request) -> Response:
        """Describe the model of production."""
        return _json(self._service.predictions.models()["production"].card)

    async def drift(self, request: Request) -> Response:
        """Return the last look at the recent predictions."""
        self._service.predictions.models()
        return _json(self._service.drift())

    async def metrics(self, request: Request) -> Response:
        """Return counters and histograms as Prometheus reads them."""
        return Response(self._service.metrics(), media_type=CONTENT_TYPE)

    def _large_body(self, request: Request) -> AbstractAsyncContextManager[bytes]:
        settings = self._settings
        return self._room.body(request, settings.service_max_body_bytes, settings.service_read_timeout_seconds)

    async def _body(self, request: Request) -> bytes:
        settings = self._settings
        return await read_body(request, settings.service_max_body_bytes, settings.service_read_timeout_seconds)

    async def _in(self, pool: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)


def _guarded(service: Service, handler: Handler) -> Handler:
    """Let only those through who send the API key, where there is one."""
    secret = service.settings.service_api_key
    if secret is None:
        return handler
    expected = secret.get_secret_value().encode()

    async def guarded(request: Request) -> Response:
        sent = request.headers.get(KEY, "").encode("latin-1")
        if not hmac.compare_digest(sent, expected):
            return _refusal(BadRequest(401, [{"loc": ["header", "x-api-key"], "msg": NO_KEY, "type": "api_key"}]))
        return await handler(request)

    return guarded


def _counted(service: Service, path: str, handler: Handler) -> Handler:
    """Count the answers of a path by status."""

    async def counted(request: Request) -> Response:
        started = time.perf_counter()
        status: int | None = None  # as it stays where the request is given up
        try:
            response = await handler(request)
            status = response.status_code
        except BadRequest as error:
            response = _refusal(error)
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


def _refusal(error: BadRequest) -> Response:
    return _json({"detail": error.detail}, error.status)
