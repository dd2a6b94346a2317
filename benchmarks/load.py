"""Ask a server on this machine over many connections at once, and print how fast it answered, as JSON.

Each connection sends its next request when the answer to the one before is there. REQUESTS has one request a line:
{"path": "/predict", "body": "…"}, without "body" a GET; "type" is the body's content type, application/json by default.
"""

import argparse
import asyncio
import json
import re
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvloop

LENGTH = re.compile(rb"\ncontent-length: *(\d+)", re.IGNORECASE)
VERSION = re.compile(rb'"model_version":(\d+)')
PREDICTION_ID = re.compile(rb'"prediction_id":"([^"]+)"')
LAST_SECONDS = 60  # that the last answers may take


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--connections", type=int, default=1, metavar="N")
    parser.add_argument("--seconds", type=float, default=5, metavar="S", help="how long to ask (5)")
    parser.add_argument("--times", type=int, metavar="N", help="requests of each connection, instead of --seconds")
    parser.add_argument("--pause", type=float, default=0, metavar="S", help="seconds between an answer and a request")
    parser.add_argument(
        "--ids", type=Path, metavar="FILE", help="write a line of model version and id for each prediction"
    )
    options = parser.parse_args()
    requests = [encoded(json.loads(line), options.port) for line in options.requests.read_text().splitlines()]
    load = Load(options.port, requests, options.times, options.seconds, options.pause, options.ids is not None)
    answers = uvloop.run(load.run(options.connections))
    if options.ids:
        options.ids.write_bytes(b"".join(answers.ids))
    print(json.dumps(answers.summary()))


def encoded(request: dict[str, str], port: int) -> bytes:
    """Return a request as it goes over the wire."""
    body = request.get("body", "").encode()
    head = [f"{'POST' if body else 'GET'} {request['path']} HTTP/1.1", f"host: 127.0.0.1:{port}"]
    if body:
        head += [f"content-type: {request.get('type', 'application/json')}", f"content-length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


@dataclass
class Answers:
    """What came back."""

    seconds: float = 0.0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    ids: list[bytes] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """Return numbers: milliseconds from sending a request to having the whole answer, answers a second."""
        p50, p99, most = np.percentile(self.latencies, [50, 99, 100]) * 1000 if self.latencies else [float("nan")] * 3
        return {
            "requests": len(self.latencies),
            "per_second": len(self.latencies) / self.seconds,
            "p50_ms": float(p50),
            "p99_ms": float(p99),
            "most_ms": float(most),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "broken": self.broken,
        }


class Load:
    """Connections that ask, and what they are answered.

    Parameters
    ----------
    port : int
    requests : sequence of bytes
        Each connection goes round them, from another place on.
    times : int, optional
        Requests of each connection; as many as fit into `seconds` when None.
    seconds, pause : float
    keep_ids : bool
        Keep the ids and model versions of predictions.
    """

    def __init__(
        self, port: int, requests: Sequence[bytes], times: int | None, seconds: float, pause: float, keep_ids: bool
    ) -> None:
        self.port, self.requests, self.times, self.pause, self.keep_ids = port, requests, times, pause, keep_ids
        self.seconds = seconds if times is None else LAST_SECONDS
        self.answers = Answers()
        self.deadline = float("inf")

    async def run(self, connections: int) -> Answers:
        """Ask until the time is up or all was asked, and return the answers."""
        started = time.perf_counter()
        self.deadline = started + self.seconds
        async with asyncio.timeout(self.seconds + LAST_SECONDS):
            await asyncio.gather(
                *(self._ask(number * len(self.requests) // connections) for number in range(connections))
            )
        self.answers.seconds = time.perf_counter() - started
        return self.answers

    async def _ask(self, number: int) -> None:
        """Ask over one connection; over another one where the server has closed it after an answer."""
        asked = 0
        while time.perf_counter() < self.deadline and (self.times is None or asked < self.times):
            connection = _Connection(self, number, asked)
            try:
                await asyncio.get_running_loop().create_connection(lambda made=connection: made, "127.0.0.1", self.port)
            except ConnectionError:
                self.answers.broken += 1
                return
            before, asked = asked, await connection.done
            if asked == before:  # it ended without an answer, which is counted as broken
                return


class _Connection(asyncio.Protocol):
    """Asks again as soon as it is answered; `done` becomes the number of answers, those before included."""

    def __init__(self, load: Load, number: int, asked: int) -> None:
        self._load, self._number, self._asked = load, number, asked
        self._received, self._length = bytearray(), 0
        self._sent_at: float | None = None
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[int] = self._loop.create_future()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._send()

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        requests = self._load.requests
        self._sent_at = time.perf_counter()
        self._transport.write(requests[(self._number + self._asked) % len(requests)])

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._length:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                return
            length = LENGTH.search(received, 0, end)
            assert length, bytes(received[:end])
            self._length = end + 4 + int(length[1])
        if len(received) >= self._length:
            self._answered(time.perf_counter())

    def _answered(self, now: float) -> None:
        load, answers, received = self._load, self._load.answers, self._received
        assert self._sent_at is not None
        answers.latencies.append(now - self._sent_at)
        status = int(received[9:12])
        answers.statuses[status] += 1
        if load.keep_ids and status == 200:
            versions, ids = VERSION.findall(received), PREDICTION_ID.findall(received)
            answers.ids.append(b"".join(b"%s %s\n" % pair for pair in zip(versions, ids, strict=True)))
        self._received, self._length, self._sent_at = bytearray(), 0, None
        self._asked += 1
        if now >= load.deadline or self._asked == load.times:
            self._transport.close()
        elif load.pause:
            self._loop.call_later(load.pause, self._send)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sent_at is not None:
            self._load.answers.broken += 1
        self.done.set_result(self._asked)


if __name__ == "__main__":
    main()
