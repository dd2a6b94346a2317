"""Limits for connections: many open at once, and timeouts for clients that send or read slowly.

uvicorn has no settings for these timeouts, so this module (and no other) depends on internal attributes of its protocol
class, verified in version `UVICORN_VERSION`. Verify them again before upgrading uvicorn.
"""

import asyncio
import re
import resource
import time
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

UVICORN_VERSION = "0.54.0"
MAX_OPEN_FILES = 65_536
CHECK_SECONDS = 1.0  # between checks of all connections, at most
MAX_HEAD_BYTES = 65_536  # of a request line and its headers
UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
MIN_READ_BYTES = 65_536  # of a response that a client must read within the timeout, unless less is left


def raise_file_limit() -> None:
    """Raise the soft limit of open files, often 1,024, to at most `MAX_OPEN_FILES`: each connection is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def protocol_class(seconds: float) -> type[HttpToolsProtocol]:
    """Return uvicorn's HTTP protocol with timeouts for slow clients: ``uvicorn.Config(app, http=protocol_class(10))``.

    - If the head of a request is incomplete after `seconds`, the connection is closed, with status 408 if some of the
      head has arrived.
    - If the head is longer than `MAX_HEAD_BYTES`, the connection is closed with status 431.
    - If the client reads less than `MIN_READ_BYTES` of a pending response in `seconds`, the connection is aborted.

    All connections are checked about once a second, so that requests need no timers; a timeout may therefore come up to
    a second late. The application limits the time for a body, and uvicorn (``timeout_keep_alive``) the time between a
    response and the next request.

    Parameters
    ----------
    seconds : float
    """

    class Limited(_LimitedProtocol):
        checker = _ConnectionChecker(seconds)

    return Limited


class _LimitedProtocol(HttpToolsProtocol):
    checker: ClassVar["_ConnectionChecker"]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = self._unread = 0
        # What the client has to do next, and after which request.
        self._pending: tuple[str, object] | None = ("head", None)
        self._since = time.monotonic()
        self.checker.schedule(self.loop, self.connections)

    def data_received(self, data: bytes) -> None:
        super().data_received(_without_upgrade(data))
        if self._is_head_complete:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    @property
    def _is_head_complete(self) -> bool:
        """Whether there is no partly received head of a request."""
        return self.scope is None or (self.cycle is not None and self.cycle.scope is self.scope)

    def check(self, now: float, seconds: float) -> None:
        """Close the connection if the client has made no progress for `seconds`."""
        unread = self.transport.get_write_buffer_size()
        pending: tuple[str, object] | None = None
        if unread:
            pending = ("reading", self.cycle)
        elif self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete):
            pending = ("head", self.cycle)
        if pending is None or pending != self._pending or 0 < unread <= self._unread - MIN_READ_BYTES:
            self._pending, self._since, self._unread = pending, now, unread
        elif now - self._since > seconds:
            if unread or self.transport.is_closing():
                self.transport.abort()
            elif self._is_head_complete:
                self.transport.close()
            else:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(head.encode())
            self.transport.close()


def _without_upgrade(data: bytes) -> bytes:
    """Return received data without an offer to upgrade the protocol, which would make the parser skip the body.

    Java's HTTP client offers an upgrade to HTTP/2 with every first request.
    """
    if not data.startswith(b"POST "):
        return data
    head, end, body = data.partition(b"\r\n\r\n")
    return UPGRADE.sub(b"\r\nX-Offered:", head) + end + body if UPGRADE.search(head) else data


class _ConnectionChecker:
    """A periodic check of a server's connections, while it has any."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_scheduled = False

    def schedule(self, loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
        """Schedule the next check, unless it is scheduled already."""
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_later(min(CHECK_SECONDS, self._seconds / 2), self._check, loop, connections)

    def _check(self, loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
        self._is_scheduled = False
        now = time.monotonic()
        for connection in list(connections):
            connection.check(now, self._seconds)
        if connections:
            self.schedule(loop, connections)
