"""A registered model and the servers that answer with it, for benchmarks: copied, started, measured, stopped."""

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
    """A pipeline folder of its own, whose registered model has a version in Production.

    Attributes
    ----------
    folder : Path
    model_name : str
    model : Path
        The folder of the logged model.
    environment : dict of str to str
        For servers and scripts.
    rows : list of dict
        Raw test rows; None is a missing value.
    """

    folder: Path
    model_name: str
    model: Path
    environment: dict[str, str]
    rows: list[dict[str, Any]]


def copied(repository: Path, folder: Path) -> Subject:
    """Copy what serving needs of a repository after `make repro`, so that it stays as it is."""
    import pandas as pd

    from pipeline.params.load import load_params
    from pipeline.service.settings import PREFIXES
    from pipeline.store.care.relocate import relocate
    from pipeline.store.database import LocalStore
    from pipeline.support.paths import EXPORTS, TEST_TABLE

    if not (repository / EXPORTS / "latest").exists():
        raise SystemExit(
            f"{repository} has no model in Production: there, `make repro && python src/model_register.py --stage "
            "Production`; or name another repository"
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
    of_others = ("MLFLOW_", "DVC_", *PREFIXES, "ENABLE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(of_others)} | {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{store.database}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    return Subject(folder, params.registry.model_name, folder / EXPORTS / "latest/model", environment, rows)


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes
    ----------
    port : int
    process : Popen
    log : Path
    ready_seconds : float
        From its start to its first answer of a prediction.
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
        """Ask it, from a process of its own, and return what load.py prints."""
        answers: dict[str, Any] = json.loads(finished(self.start_load(requests, *options)))
        return answers

    def start_load(self, requests: Path, *options: object) -> "subprocess.Popen[str]":
        """Begin to ask it."""
        command = [sys.executable, str(LOAD), str(self.port), str(requests), *map(str, options)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(process: "subprocess.Popen[str]") -> str:
    """Wait for a process and return what it printed."""
    printed, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"failed: {process.args}")
    return printed


@contextmanager
def ours(subject: Subject, request: dict[str, str], **settings: object) -> Iterator[Server]:
    """Serve by this project's service until the block ends, with its settings as they come, tracking among them."""
    port = free_port()
    environment = subject.environment | {"SERVICE_PORT": str(port)} | {k: str(v) for k, v in settings.items()}
    with started([sys.executable, str(SOURCES / "serve.py")], port, subject.folder, environment, request) as server:
        yield server


@contextmanager
def mlflow(subject: Subject, request: dict[str, str]) -> Iterator[Server]:
    """Serve by `mlflow models serve` until the block ends."""
    port = free_port()
    command = [str(PROGRAMS / "mlflow"), "models", "serve", "-m", f"models:/{subject.model_name}/Production"]
    command += ["--port", str(port), "--env-manager", "local"]
    with started(command, port, subject.folder, subject.environment, request) as server:
        yield server


@contextmanager
def empty(subject: Subject, request: dict[str, str]) -> Iterator[Server]:
    """Let uvicorn, set as in our service, answer nothing."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(Path(__file__).parent), "empty_app:app"]
    command += ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--ws", "none", "--lifespan", "off"]
    command += ["--no-access-log", "--no-server-header"]
    with started(command, port, subject.folder, subject.environment, request) as server:
        yield server


@contextmanager
def started(
    command: list[str], port: int, folder: Path, environment: dict[str, str], request: dict[str, str]
) -> Iterator[Server]:
    """Run a server until the block ends, from when it answers `request`; `folder` gets its log.

    It must end by itself when it is told to.
    """
    log = folder / f"server-{port}.log"
    began = time.perf_counter()
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        while not _answers(port, request):
            if process.poll() is not None or time.perf_counter() - began > LONGEST_START:
                raise SystemExit(f"no answer from: {' '.join(command)}\n{log.read_text()}")
            time.sleep(0.02)
        yield Server(port, process, log, time.perf_counter() - began)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(LONGEST_STOP)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(port: int, request: dict[str, str]) -> bool:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}{request['path']}", request["body"].encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def requests_file(path: Path, requests: list[dict[str, str]]) -> Path:
    """Write requests as load.py reads them."""
    path.write_text("".join(f"{json.dumps(request)}\n" for request in requests))
    return path


def bare(model: Path, body: Path, seconds: float) -> Numbers:
    """Time the bare model on a batch in this process: JSON parsed, the table made, predicted, written as JSON."""
    import pandas as pd

    from pipeline.features.raw_rows_model import RawRowsModel

    loaded, text, times = RawRowsModel(model), body.read_text(), []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds or len(times) < 5:
        start = time.perf_counter()
        answered = loaded.predict(pd.DataFrame(json.loads(text)))
        json.dumps(answered.tolist() if hasattr(answered, "tolist") else answered.to_dict("records"))
        times.append(time.perf_counter() - start)
    return {"p50_ms": sorted(times)[len(times) // 2] * 1000}
