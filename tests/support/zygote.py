"""A process that has imported everything and forks to run a script of src/ for each line on its standard input.

The forks are real processes of the real scripts, except that they save one pixel instead of every figure: imports and
drawing would otherwise take nine tenths of their time.
"""

import ctypes
import functools
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.orm import configure_mappers

from pipeline.cli import run_script
from support.figures import without_figures
from support.repositories import ROOT

MODULES = (
    "mlflow.sklearn",
    "mlflow.xgboost",
    "mlflow.onnx",
    "mlflow.store.tracking.sqlalchemy_store",
    "pandera.pandas",
    "pandera.backends.pandas.builtin_checks",
    "sklearn.pipeline",
    "shap",
    "matplotlib.pyplot",
    "optuna",
)
STAGES = (
    "pipeline.prepare.stage",
    "pipeline.train.stage",
    "pipeline.register.stage",
    "pipeline.register.rollback",
    "pipeline.service.web.server",
)
PR_SET_PDEATHSIG = 1  # option of Linux's prctl


class Forked:
    """A running script, with the part of the `subprocess.Popen` interface that tests use, and its output."""

    def __init__(self, zygote: "Zygote", pid: int, log: Path) -> None:
        self.zygote, self.pid, self.log = zygote, pid, log
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative after a signal, or None while the script runs."""
        if self.returncode is None:
            status = self.zygote.request({"poll": self.pid})
            self.returncode = os.waitstatus_to_exitcode(int(status)) if status else None
        return self.returncode

    def wait(self, timeout: float = 600) -> int:
        """Wait for the end and return the exit code."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the script has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the script, unless it has ended."""
        self.send_signal(signal.SIGKILL)


class Zygote:
    """A process that starts scripts; `folder` holds their temporary files."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self._started = 0
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._read_response() == "ready"

    def start(
        self, folder: Path, *command: str, environment: Mapping[str, str] | None = None, log: Path | None = None
    ) -> Forked:
        """Start a script in a folder, by default in the environment of this process; `log` gets its output."""
        self._started += 1
        log = log or self.temporary.parent / f"{self._started}.log"
        variables = dict(os.environ) | {"TMPDIR": str(self.temporary)} if environment is None else dict(environment)
        pid = self.request({"folder": str(folder), "command": command, "environment": variables, "log": str(log)})
        return Forked(self, int(pid), log)

    def wait(self, script: Forked) -> tuple[int, str]:
        """Wait for a script and return its exit code and its output."""
        code = script.wait()
        output = script.log.read_text() if script.log.exists() else ""
        script.log.unlink(missing_ok=True)
        return code, output

    def run(self, folder: Path, *command: str) -> float:
        """Run a script, check that it succeeds, and return its duration in seconds."""
        started = time.monotonic()
        code, output = self.wait(self.start(folder, *command))
        assert code == 0, output
        return time.monotonic() - started

    def close(self) -> None:
        """End the process and remove its folder."""
        self.process.communicate("")
        shutil.rmtree(self.temporary.parent, ignore_errors=True)

    def request(self, message: dict[str, object]) -> str:
        """Send a request and return the response."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return self._read_response()

    def _read_response(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@functools.cache
def get_zygote() -> Zygote:
    """Return the zygote of this test process, started by the first call."""
    return Zygote(Path(tempfile.mkdtemp(prefix="zygote-")))


def close_zygote() -> None:
    """End the zygote of this test process if it was started."""
    if get_zygote.cache_info().currsize:
        get_zygote().close()
        get_zygote.cache_clear()


def serve() -> None:
    """Import every module, then fork scripts; a fork runs its script and exits from here."""
    for module in (*MODULES, *STAGES):
        importlib.import_module(module)
    configure_mappers()
    with without_figures():
        fork_scripts()


def fork_scripts() -> None:
    """For each line, fork a script or poll one."""
    print("ready", flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        if "poll" in message:
            pid, status = os.waitpid(message["poll"], os.WNOHANG)
            print(status if pid else "", flush=True)
            continue
        child = os.fork()
        if child == 0:
            become_script(message["folder"], message["environment"], message["log"])
            script, *arguments = message["command"]
            sys.argv = [f"src/{script}.py", *arguments]
            run_script(importlib.import_module(script).main)
        print(child, flush=True)


def become_script(folder: str, environment: dict[str, str], log: str) -> None:
    """Make this fork like a process started from a shell, in its own session; it ends with the zygote."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # keeps the order with standard error
    os.chdir(folder)


if __name__ == "__main__":
    serve()
