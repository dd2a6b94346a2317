"""The prediction service as an operator starts it, but for the imports: a process on a free port of loopback."""

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
from support.zygote import Forked, the_zygote

LONGEST_START = 180  # seconds


@dataclass(frozen=True)
class Running:
    """A service that was started."""

    address: str
    process: Forked
    log: Path

    def health(self) -> dict[str, Any]:
        """Return what GET /health says now."""
        return requests.get(f"{self.address}/health", timeout=10).json()

    def wait_for(self, version: int | None) -> dict[str, Any]:
        """Wait until a version of the model answers (None: until the service does), and return what /health says."""
        deadline = time.monotonic() + LONGEST_START
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
def service(folder: Path, version: int | None = 1, **settings: object) -> Iterator[Running]:
    """Serve the model of a pipeline folder until the block ends, from when `version` answers.

    The folder gets the log. Settings are environment variables; MLFLOW_TRACKING_URI and the like of this process count
    too. At the end the service is told to stop, and must.
    """
    port = free_port()
    log = folder / f"service-{port}.log"
    environment = os.environ | {"PATH": PATH, "SERVICE_PORT": str(port)}
    environment |= {name: str(value) for name, value in settings.items()}
    process = the_zygote().start(folder, "serve", environment=environment, log=log)
    running = Running(f"http://127.0.0.1:{port}", process, log)
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
