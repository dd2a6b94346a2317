"""The prediction service as a process on a free loopback port, forked so that it need not import anything."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from support.servers import PATH, free_port
from support.zygote import Forked, get_zygote

START_TIMEOUT = 180  # seconds


@dataclass(frozen=True)
class RunningService:
    """A running service."""

    address: str
    process: Forked
    log: Path

    def health(self) -> dict[str, Any]:
        """Return the body of GET /health."""
        return requests.get(f"{self.address}/health", timeout=10).json()

    def wait_for(self, version: int | None) -> dict[str, Any]:
        """Wait until a model version is served, or until any response for None; return the body of GET /health."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            assert self.process.poll() is None, self.log.read_text()
            try:
                health = self.health()
                if version is None or health["model_version"] == version:
                    return health
            except requests.RequestException:
                health = {}
            assert time.monotonic() < deadline, f"{health}\n{self.log.read_text()}"
            time.sleep(0.05)


@contextmanager
def service(folder: Path, version: int | None = 1, **settings: object) -> Iterator[RunningService]:
    """Serve the model of a pipeline folder: enter the block when `version` is served, stop the service at the end.

    The folder gets the log. Settings are environment variables, added to those of this process. A service that does not
    stop on SIGTERM raises TimeoutExpired.
    """
    port = free_port()
    log = folder / f"service-{port}.log"
    environment = os.environ | {"PATH": PATH, "SERVICE_PORT": str(port)}
    environment |= {name: str(value) for name, value in settings.items()}
    process = get_zygote().start(folder, "serve", environment=environment, log=log)
    running = RunningService(f"http://127.0.0.1:{port}", process, log)
    try:
        running.wait_for(version)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
