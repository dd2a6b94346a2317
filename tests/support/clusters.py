"""Dask schedulers and workers as processes, on this machine or in network namespaces with addresses of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from support.servers import free_port, is_reachable, run_server

DASK = str(Path(sys.executable).parent / "dask")
BRIDGE_ADDRESS = "10.213.77.1"


@contextmanager
def scheduler(folder: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """Run a scheduler until the block ends, and yield its address."""
    port, page = free_port(), free_port()
    command = [DASK, "scheduler", "--host", host, "--port", port, "--dashboard-address", f"{host}:{page}"]
    health = f"http://{host}:{page}/health"
    with run_server(command, folder / "scheduler.log", lambda: is_reachable(health), {}, folder):
        yield f"tcp://{host}:{port}"


@contextmanager
def worker(folder: Path, scheduler_address: str, name: str, prefix: Sequence[str] = ()) -> Iterator[None]:
    """Run a worker with one thread until the block ends; `prefix` is a command that runs it, as from `in_namespace`."""
    log = folder / f"{name}.log"
    scratch = folder / f"scratch-{name}"
    command = [*prefix, DASK, "worker", scheduler_address, "--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
    command += ["--local-directory", scratch]
    with run_server(command, log, lambda: "Registered to" in log.read_text(), {}, folder):
        yield


@contextmanager
def namespaces(number: int) -> Iterator[list[str]]:
    """Create network namespaces, each with its own address on one bridge, and yield their names."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and iproute2: apt-get install iproute2")
    prefix = f"t{os.getpid() % 10**6}"
    with ExitStack() as stack:

        def run(*command: str) -> None:
            subprocess.run(["ip", *command], check=True)

        run("link", "add", f"{prefix}b", "type", "bridge")
        stack.callback(run, "link", "del", f"{prefix}b")
        run("addr", "add", f"{BRIDGE_ADDRESS}/24", "dev", f"{prefix}b")
        run("link", "set", f"{prefix}b", "up")
        names = [f"{prefix}n{place}" for place in range(number)]
        for place, name in enumerate(names):
            run("netns", "add", name)
            stack.callback(run, "netns", "del", name)
            run("link", "add", f"{prefix}v{place}", "type", "veth", "peer", "name", "eth0", "netns", name)
            run("link", "set", f"{prefix}v{place}", "master", f"{prefix}b", "up")
            run("-n", name, "addr", "add", f"10.213.77.{place + 2}/24", "dev", "eth0")
            run("-n", name, "link", "set", "eth0", "up")
            run("-n", name, "link", "set", "lo", "up")
        yield names


def in_namespace(name: str) -> list[str]:
    """Return the command that runs another one in a namespace."""
    return ["ip", "netns", "exec", name]


def cut_off(name: str) -> None:
    """Disconnect a namespace from the network, without a word to the other side."""
    subprocess.run(["ip", "-n", name, "link", "set", "eth0", "down"], check=True)


@contextmanager
def tracking_server(folder: Path) -> Iterator[str]:
    """Run MLflow's server on a SQLite database until the block ends, and yield its address."""
    address = f"http://127.0.0.1:{free_port()}"
    command = [Path(sys.executable).parent / "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", folder / "artifacts", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", address.rpartition(":")[2]]
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with run_server(command, folder / "mlflow.log", lambda: is_reachable(f"{address}/health"), environment, folder):
        assert requests.get(f"{address}/health", timeout=10).ok
        yield address
