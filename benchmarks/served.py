"""Copy a registered model for the serving benchmarks, and start, measure and stop the servers for it."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import SOURCES, Numbers

PROGRAMS = Path(sys.executable).parent
LOAD = Path(__file__).with_name("load.py")
LONGEST_START, LONGEST_STOP = 120, 60  # seconds


@dataclass(frozen=True)
class Subject:
    """A copied pipeline folder with a model version in Production.

    Attributes
    ----------
    folder : Path
    model_name : str
    model : Path
        Folder of the logged model.
    environment : dict of str to str
        Environment variables for servers and scripts.
    rows : list of dict
        Raw test rows; missing values are None.
    """

    folder: Path
    model_name: str
    model: Path
    environment: dict[str, str]
    rows: list[dict[str, Any]]


def copy_subject(repository: Path, folder: Path) -> Subject:
    """Copy the parts of a repository that serving needs, so that the benchmark does not change it.

    `make repro` and `model_register.py` must have been run in the repository.
    """
    import pandas as pd

    from pipeline.params.load import load_params
    from pipeline.service.settings import PREFIXES
    from pipeline.store.database import LocalStore
    from pipeline.store.maintenance.relocate import relocate
    from pipeline.support.paths import EXPORTS, TEST_TABLE

    if not (repository / EXPORTS / "latest").exists():
        raise SystemExit(
            f"{repository} has no model in Production: run `make repro && python src/model_register.py --stage "
            "Production` there, or use another repository"
        )
    store = LocalStore(folder / "mlruns/mlflow.db")
    shutil.copytree(repository / "mlruns", store.home)
    shutil.copytree(repository / EXPORTS, folder / EXPORTS, symlinks=True)
    for name in ("data/processed", "mlartifacts"):
        shutil.copytree(repository / name, folder / name)
    shutil.copy(repository / "params.yaml", folder)
    with redirect_stdout(io.StringIO()):
        relocate(store)
    params = load_params(folder / "params.yaml")
    table = pd.read_parquet(repository / TEST_TABLE).drop(columns=params.dataset.target)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    excluded = ("MLFLOW_", "DVC_", *PREFIXES, "ENABLE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(excluded)} | {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{store.database}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return Subject(folder, params.registry.model_name, folder / EXPORTS / "latest/model", environment, rows)


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes
    ----------
    port : int
    process : Popen
    log : Path
    ready_seconds : float
        Time from its start to its first prediction.
    """

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    ready_seconds: float

    def megabytes(self) -> float:
        """Return the resident memory of all its processes."""
        import psutil

        root = psutil.Process(self.process.pid)
        total: int = sum(process.memory_info().rss for process in (root, *root.children(recursive=True)))
        return total / 2**20

    def load(self, requests: Path, *options: object) -> dict[str, Any]:
        """Run a load test in a separate process, and return the results of load.py."""
        results: dict[str, Any] = json.loads(output_of(self.start_load(requests, *options)))
        return results

    def start_load(self, requests: Path, *options: object) -> "subprocess.Popen[str]":
        """Start a load test in a separate process."""
        command = [sys.executable, str(LOAD), str(self.port), str(requests), *map(str, options)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def output_of(process: "subprocess.Popen[str]") -> str:
    """Wait for a process and return its output."""
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"failed: {process.args}")
    return output


@contextmanager
def prediction_service(subject: Subject, request: dict[str, str], **settings: object) -> Iterator[Server]:
    """Run this project's service with its default settings, including tracking, until the block ends."""
    port = free_port()
    environment = subject.environment | {"SERVICE_PORT": str(port)} | {k: str(v) for k, v in settings.items()}
    with running_server(
        [sys.executable, str(SOURCES / "serve.py")], port, subject.folder, environment, request
    ) as server:
        yield server


@contextmanager
def mlflow_server(subject: Subject, request: dict[str, str]) -> Iterator[Server]:
    """Run `mlflow models serve` until the block ends."""
    port = free_port()
    command = [str(PROGRAMS / "mlflow"), "models", "serve", "-m", f"models:/{subject.model_name}/Production"]
    command += ["--port", str(port), "--env-manager", "local"]
    with running_server(command, port, subject.folder, subject.environment, request) as server:
        yield server


@contextmanager
def empty_server(subject: Subject, request: dict[str, str]) -> Iterator[Server]:
    """Run uvicorn with the options of the service and a minimal application until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(__file__).parent), "empty_app:app"]
    command += ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--ws", "none", "--lifespan", "off"]
    command += ["--no-access-log", "--no-server-header"]
    with running_server(command, port, subject.folder, subject.environment, request) as server:
        yield server


@contextmanager
def running_server(
    command: list[str], port: int, folder: Path, environment: dict[str, str], request: dict[str, str]
) -> Iterator[Server]:
    """Start a server, enter the block once it responds to `request`, and stop it after the block.

    Its log is written to `folder`. The server must stop on SIGTERM.
    """
    log = folder / f"server-{port}.log"
    began = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        while not _responds(port, request):
            if process.poll() is not None or time.perf_counter() - began > LONGEST_START:
                raise SystemExit(f"no response from: {' '.join(command)}\n{log.read_text()}")
            time.sleep(0.02)
        yield Server(port, process, log, time.perf_counter() - began)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(LONGEST_STOP)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _responds(port: int, request: dict[str, str]) -> bool:
    http_request = urllib.request.Request(
        f"http://127.0.0.1:{port}{request['path']}", request["body"].encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(http_request, timeout=10) as response:  # noqa: S310
            return bool(response.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """Return a free port of the loopback interface."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def requests_file(path: Path, requests: list[dict[str, str]]) -> Path:
    """Write requests in the format of load.py."""
    path.write_text("".join(f"{json.dumps(request)}\n" for request in requests))
    return path


def time_bare_model(model: Path, body: Path, seconds: float) -> Numbers:
    """Time the bare model on a batch in this process, from parsing JSON to writing the predictions as JSON."""
    import pandas as pd

    from pipeline.features.raw_rows_model import RawRowsModel

    loaded, text, times = RawRowsModel(model), body.read_text(), []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(times) < 5:
        start = time.perf_counter()
        predictions = loaded.predict(pd.DataFrame(json.loads(text)))
        json.dumps(predictions.tolist() if hasattr(predictions, "tolist") else predictions.to_dict("records"))
        times.append(time.perf_counter() - start)
    return {"p50_ms": sorted(times)[len(times) // 2] * 1000}
