"""Send requests to a local server over many connections, and print latency and throughput as JSON.

Each connection sends its next request when it has received the previous response. REQUESTS is a file with one request
per line: {"path": "/predict", "body": "…"}. Without "body" it is a GET request. "type" is the content type of the body,
application/json by default.
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
LAST_SECONDS = 60  # time limit for the last responses


def main() -> None:
    """Send the requests and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--connections", type=int, default=1, metavar="N")
    parser.add_argument("--seconds", type=float, default=5, metavar="S", help="how long to send requests (5)")
    parser.add_argument(
        "--times", type=int, metavar="N", help="number of requests per connection, instead of --seconds"
    )
    parser.add_argument(
        "--pause", type=float, default=0, metavar="S", help="seconds between a response and the next request"
    )
    parser.add_argument(
        "--ids",
        type=Path,
        metavar="FILE",
        help="write the model version and id of each prediction to this file, one per line",
    )
    options = parser.parse_args()
    requests = [encode(json.loads(line), options.port) for line in options.requests.read_text().splitlines()]
    load = Load(options.port, requests, options.times, options.seconds, options.pause, options.ids is not None)
    results = uvloop.run(load.run(options.connections))
    if options.ids:
        options.ids.write_bytes(b"".join(results.ids))
    print(json.dumps(results.summary()))


def encode(request: dict[str, str], port: int) -> bytes:
    """Return a request as bytes of HTTP/1.1."""
    body = request.get("body", "").encode()
    head = [f"{'POST' if body else 'GET'} {request['path']} HTTP/1.1", f"host: 127.0.0.1:{port}"]
    if body:
        head += [f"content-type: {request.get('type', 'application/json')}", f"content-length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


@dataclass
class Results:
    """The responses of all connections."""

    seconds: float = 0.0
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    ids: list[bytes] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """Return latencies from sending a request to its complete response, throughput and status counts."""
        p50, p99, maximum = (
            np.percentile(self.latencies, [50, 99, 100]) * 1000 if self.latencies else [float("nan")] * 3
        )
        return {
            "requests": len(self.latencies),
            "per_second": len(self.latencies) / self.seconds,
            "p50_ms": float(p50),
            "p99_ms": float(p99),
            "most_ms": float(maximum),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "broken": self.broken,
        }


class Load:
    """A load test of one server.

    Parameters
    ----------
    port : int
    requests : sequence of bytes
        Each connection cycles through them, from a different start.
    times : int, optional
        Requests per connection. If None, each connection sends requests for `seconds`.
    seconds : float
        How long to send requests.
    pause : float
        Seconds between a response and the next request.
    keep_ids : bool
        Whether to keep the ids and model versions of predictions.
    """

    def __init__(
        self, port: int, requests: Sequence[bytes], times: int | None, seconds: float, pause: float, keep_ids: bool
    ) -> None:
        self.port, self.requests, self.times, self.pause, self.keep_ids = port, requests, times, pause, keep_ids
        self.seconds = seconds if times is None else LAST_SECONDS
        self.results = Results()
        self.deadline = float("inf")

    async def run(self, connections: int) -> Results:
        """Send requests until the time is up or all are sent, and return the results."""
        started = time.perf_counter()
        self.deadline = started + self.seconds
        async with asyncio.timeout(self.seconds + LAST_SECONDS):
            await asyncio.gather(
                *(self._send_requests(number * len(self.requests) // connections) for number in range(connections))
            )
        self.results.seconds = time.perf_counter() - started
        return self.results

    async def _send_requests(self, number: int) -> None:
        """Send requests over one connection; reconnect if the server closes it after a response."""
        completed = 0
        while time.perf_counter() < self.deadline and (self.times is None or completed < self.times):
            connection = _Connection(self, number, completed)
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda protocol=connection: protocol, "127.0.0.1", self.port
                )
            except ConnectionError:
                self.results.broken += 1
                return
            before, completed = completed, await connection.done
            if completed == before:  # it ended without a response and is counted as broken
                return


class _Connection(asyncio.Protocol):
    """Sends a request after each response; `done` resolves to the total number of responses, including earlier ones."""

    def __init__(self, load: Load, number: int, completed: int) -> None:
        self._load, self._number, self._completed = load, number, completed
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
        self._transport.write(requests[(self._number + self._completed) % len(requests)])

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
            self._handle_response(time.perf_counter())

    def _handle_response(self, now: float) -> None:
        load, results, received = self._load, self._load.results, self._received
        assert self._sent_at is not None
        results.latencies.append(now - self._sent_at)
        status = int(received[9:12])
        results.statuses[status] += 1
        if load.keep_ids and status == 200:
            versions, ids = VERSION.findall(received), PREDICTION_ID.findall(received)
            results.ids.append(b"".join(b"%s %s\n" % pair for pair in zip(versions, ids, strict=True)))
        self._received, self._length, self._sent_at = bytearray(), 0, None
        self._completed += 1
        if now >= load.deadline or self._completed == load.times:
            self._transport.close()
        elif load.pause:
            self._loop.call_later(load.pause, self._send)
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sent_at is not None:
            self._load.results.broken += 1
        self.done.set_result(self._completed)


if __name__ == "__main__":
    main()
