"""Reading a request's body: no more of it than allowed, and no longer."""

import asyncio
from typing import TYPE_CHECKING

from pipeline.service.requests.bad_request import BadRequest

if TYPE_CHECKING:
    from starlette.requests import Request


async def read_body(request: "Request", max_bytes: int, seconds: float) -> bytes:
    """Return the whole body of a request.

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
                size += len(parts[-1])
                if size > max_bytes:
                    raise _too_large(max_bytes)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise BadRequest.of(408, f"the body did not arrive within {seconds:g} seconds", "timeout") from None


def length_of(request: "Request") -> int:
    """Return how long the client says the body is; 0 where it does not say so in digits."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _too_large(max_bytes: int) -> BadRequest:
    return BadRequest.of(413, f"the body has more than {max_bytes:,} bytes (SERVICE_MAX_BODY_BYTES)", "too_large")
