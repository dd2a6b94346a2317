"""A model served by `mlflow models serve` on a free loopback port."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests


@contextmanager
def serve(model_uri: str, folder: Path) -> Iterator[str]:
    """Serve a model until the block ends and yield its invocations URL; `folder` gets the log."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["mlflow", "models", "serve", "-m", model_uri, "-p", str(port), "--env-manager", "local"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    log = folder / "serve.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 180
        while not _is_reachable(f"{address}/ping"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"{address}/invocations"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def _is_reachable(address: str) -> bool:
    try:
        return requests.get(address, timeout=2).ok
    except requests.ConnectionError:
        return False
