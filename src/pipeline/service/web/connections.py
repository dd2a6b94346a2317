"""Connections: room for many, and limits for clients that are slow to send a request or to read an answer.

uvicorn has no settings for these limits, so this module depends on the attributes of its protocol class, as they were
read in uvicorn `READ_IN`; no other module does. Read them again before that version is replaced.
"""

import asyncio
import re
import resource
import time
from http import HTTPStatus
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

READ_IN = "0.54.0"
MOST_FILES = 65_536  # that this process wants to have open, connections among them
SWEEP_SECONDS = 1.0  # between looks at the connections, at most
HEAD_BYTES = 65_536  # of a request line and its headers
UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
READ_BYTES = 65_536  # of an answer that a client has to take in the time it is given, unless less is left


def raise_file_limit() -> None:
    """Let this process open as many files as it may, up to `MOST_FILES`: a connection is an open file.

    The soft limit, which it begins with, is 1,024 on many systems.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def protocol(seconds: float) -> type[HttpToolsProtocol]:
    """Return uvicorn's HTTP protocol with limits for slow clients: ``uvicorn.Config(app, http=protocol(10))``.

    A connection is closed, with the status 408 where a request has begun, when its head is not whole after `seconds`,
    and with 431 when the head is longer than `HEAD_BYTES`. It is cut off when less than `READ_BYTES` of an unread
    answer are taken in `seconds`. No request pays for a timer: about once a second all connections are looked at, so
    that both may take a second longer. How long a body may take is up to the application, and how long nothing may be
    asked after an answer to uvicorn (``timeout_keep_alive``).

    Parameters
    ----------
    seconds : float
    """

    class Limited(_LimitedProtocol):
        sweep = _Sweep(seconds)

    return Limited


class _LimitedProtocol(HttpToolsProtocol):
    sweep: ClassVar["_Sweep"]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = self._unread = 0
        self._awaited: tuple[str, object] | None = ("head", None)  # from the client: what, and after which request
        self._since = time.monotonic()
        self.sweep.plan(self.loop, self.connections)

    def data_received(self, data: bytes) -> None:
        super().data_received(_without_upgrade(data))
        if self._has_head:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    @property
    def _has_head(self) -> bool:
        """Whether no request has begun to arrive whose head is not whole."""
        return self.scope is None or (self.cycle is not None and self.cycle.scope is self.scope)

    def look(self, now: float, seconds: float) -> None:
        """Close the connection when what is awaited from the client has been for too long."""
        unread = self.transport.get_write_buffer_size()
        awaited: tuple[str, object] | None = None
        if unread:
            awaited = ("reading", self.cycle)
        elif self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete):
            awaited = ("head", self.cycle)
        if awaited is None or awaited != self._awaited or 0 < unread <= self._unread - READ_BYTES:
            self._awaited, self._since, self._unread = awaited, now, unread
        elif now - self._since > seconds:
            if unread or self.transport.is_closing():
                self.transport.abort()
            elif self._has_head:
                self.transport.close()
            else:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(head.encode())
            self.transport.close()


def _without_upgrade(data: bytes) -> bytes:
    """Return what was received without the offer to go over to another protocol, for which the parser skips the body.

    Java's HTTP client offers it with every first request.
    """
    if not data.startswith(b"POST "):
        return data
    head, end, body = data.partition(b"\r\n\r\n")
    return UPGRADE.sub(b"\r\nX-Offered:", head) + end + body if UPGRADE.search(head) else data


class _Sweep:
    """Looks at the connections of a server from time to time, as long as there are any."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._planned = False

    def plan(self, loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
        """Look at them soon."""
        if not self._planned:
            self._planned = True
            loop.call_later(min(SWEEP_SECONDS, self._seconds / 2), self._look, loop, connections)

    def _look(self, loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
        self._planned = False
        now = time.monotonic()
        for connection in list(connections):
            connection.look(now, self._seconds)
        if connections:
            self.plan(loop, connections)
