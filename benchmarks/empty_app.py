"""A minimal ASGI application, which shows the maximum throughput of its server on this machine."""

from collections.abc import Awaitable, Callable
from typing import Any

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"{}"}


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Read the request and respond with ``{}``."""
    while (await receive()).get("more_body"):
        pass
    await send(HEAD)
    await send(BODY)
