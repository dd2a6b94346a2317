"""An ASGI application that reads a request and answers nothing: the most that its server can do on this machine."""

from collections.abc import Awaitable, Callable
from typing import Any

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"{}"}


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer ``{}`` to whatever is asked."""
    while (await receive()).get("more_body"):
        pass
    await send(HEAD)
    await send(BODY)
