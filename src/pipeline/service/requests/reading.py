"""Read request bodies with limits on their size, the time they take and the memory they occupy together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pipeline.service.requests.bad_request import BadRequest

if TYPE_CHECKING:
    from starlette.requests import Request


class MemoryBudget:
    """A limit on the bytes of request bodies in memory; further bytes wait in their connections.

    The budget counts bytes, not bodies, so slow clients that have sent little do not block others. If it is used up by
    incomplete bodies only, one request at a time may exceed it; otherwise they would wait for each other forever.

    Parameters
    ----------
    n_bytes : int
    """

    def __init__(self, n_bytes: int) -> None:
        self._free = n_bytes
        self._released = asyncio.Event()
        self._exempt: Request | None = None

    async def acquire(self, request: "Request", n_bytes: int) -> None:
        """Wait until memory is free; the last request to get some may take more than is left."""
        while self._free <= 0 and self._exempt is not request:
            if self._exempt is None:
                self._exempt = request
                break
            self._released.clear()
            await self._released.wait()
        self._free -= n_bytes

    def release(self, request: "Request", n_bytes: int) -> None:
        """Return the memory of a request to the budget."""
        self._free += n_bytes
        if self._exempt is request:
            self._exempt = None
        self._released.set()

    @asynccontextmanager
    async def body(self, request: "Request", max_bytes: int, seconds: float) -> AsyncIterator[bytes]:
        """Yield the body of a request, which counts against the budget until the block ends.

        Raises
        ------
        BadRequest
            As `read_body` does.
        """
        body = await read_body(request, max_bytes, seconds, self)
        try:
            yield body
        finally:
            self.release(request, len(body))


async def read_body(request: "Request", max_bytes: int, seconds: float, budget: MemoryBudget | None = None) -> bytes:
    """Return the complete body of a request; its bytes stay acquired from `budget`.

    Raises
    ------
    BadRequest
        400 if the client disconnected, 408 if the body has not arrived after `seconds`, 413 if it is larger than
        `max_bytes`, 415 if it is compressed.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        message = "compressed bodies are not supported: send the body without Content-Encoding"
        raise BadRequest.for_body(415, message, "content_encoding")
    if content_length(request) > max_bytes:
        raise _too_large(max_bytes)
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                event = await request.receive()
                if event["type"] == "http.disconnect":
                    raise BadRequest.for_body(
                        400, "the client disconnected before the body was complete", "disconnected"
                    )
                parts.append(event.get("body", b""))
                if size + len(parts[-1]) > max_bytes:
                    raise _too_large(max_bytes)
                if budget:
                    await budget.acquire(request, len(parts[-1]))
                size += len(parts[-1])
                if not event.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except BaseException as error:
        if budget:
            budget.release(request, size)
        if not isinstance(error, TimeoutError):
            raise
        raise BadRequest.for_body(408, f"the body did not arrive within {seconds:g} seconds", "timeout") from None


def content_length(request: "Request") -> int:
    """Return the Content-Length of a request; 0 if the header is missing or not made of digits."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _too_large(max_bytes: int) -> BadRequest:
    message = f"the body has more than {max_bytes:,} bytes (SERVICE_MAX_BODY_BYTES): send fewer rows"
    return BadRequest.for_body(413, message, "too_large")
