"""Reading a request's body: no more of it than allowed, and no longer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pipeline.service.requests.bad_request import BadRequest

if TYPE_CHECKING:
    from starlette.requests import Request


class Room:
    """Bytes of bodies that may be in memory at a time; more wait in their connections.

    Bytes are counted, and not bodies: clients that send little, and slowly, take no one's place. Where all is taken by
    bodies of which none is whole, one of them at a time goes on, or they would wait for each other.

    Parameters
    ----------
    n_bytes : int
    """

    def __init__(self, n_bytes: int) -> None:
        self._free = n_bytes
        self._freed = asyncio.Event()
        self._goes_on: Request | None = None

    async def take(self, request: "Request", n_bytes: int) -> None:
        """Wait until there is room; the last one to find some may take more than there is."""
        while self._free <= 0 and self._goes_on is not request:
            if self._goes_on is None:
                self._goes_on = request
                break
            self._freed.clear()
            await self._freed.wait()
        self._free -= n_bytes

    def give_back(self, request: "Request", n_bytes: int) -> None:
        """Make room for others."""
        self._free += n_bytes
        if self._goes_on is request:
            self._goes_on = None
        self._freed.set()

    @asynccontextmanager
    async def body(self, request: "Request", max_bytes: int, seconds: float) -> AsyncIterator[bytes]:
        """Give the whole body of a request, which takes room until the block ends; raises as `read_body` does."""
        body = await read_body(request, max_bytes, seconds, self)
        try:
            yield body
        finally:
            self.give_back(request, len(body))


async def read_body(request: "Request", max_bytes: int, seconds: float, room: Room | None = None) -> bytes:
    """Return the whole body of a request, for which room is taken where it is given.

    Raises
    ------
    BadRequest
        415 when it is compressed, 413 when it is larger than `max_bytes`, 408 when it has not arrived after `seconds`,
        400 when the client went away.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise BadRequest.of(415, "the body must not be compressed: leave Content-Encoding out", "content_encoding")
    if length_of(request) > max_bytes:
        raise _too_large(max_bytes)
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise BadRequest.of(400, "the client went away before the body was whole", "disconnected")
                parts.append(message.get("body", b""))
                if size + len(parts[-1]) > max_bytes:
                    raise _too_large(max_bytes)
                if room:
                    await room.take(request, len(parts[-1]))
                size += len(parts[-1])
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except BaseException as error:
        if room:
            room.give_back(request, size)
        if not isinstance(error, TimeoutError):
            raise
        raise BadRequest.of(408, f"the body did not arrive within {seconds:g} seconds", "timeout") from None


def length_of(request: "Request") -> int:
    """Return how long the client says the body is; 0 where it does not say so in digits."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _too_large(max_bytes: int) -> BadRequest:
    return BadRequest.of(413, f"the body has more than {max_bytes:,} bytes (SERVICE_MAX_BODY_BYTES)", "too_large")
