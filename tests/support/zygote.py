"""A process that has imported everything, and forks to run a script of src/ whenever a line asks for it.

What it starts are real processes of the real scripts, which save one pixel in place of every picture: nine tenths of
their lives would otherwise be imports and drawing.
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
from support.pictures import undrawn
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
PARENT_DEATH = 1  # PR_SET_PDEATHSIG of Linux' prctl


class Forked:
    """A script that was started: what tests use of `subprocess.Popen`, and what it printed."""

    def __init__(self, zygote: "Zygote", pid: int, log: Path) -> None:
        self.zygote, self.pid, self.log = zygote, pid, log
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code (of a script that a signal killed, minus its number), or None while it runs."""
        if self.returncode is None:
            status = self.zygote.ask({"poll": self.pid})
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
    """Starts scripts; `folder` is where their temporary files are."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self._started = 0
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}",
            "OMP_WAIT_POLICY": "passive",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def start(
        self, folder: Path, *command: str, environment: Mapping[str, str] | None = None, log: Path | None = None
    ) -> Forked:
        """Start a script in a folder, in this process' environment or another; `log` gets what it prints."""
        self._started += 1
        log = log or self.temporary.parent / f"{self._started}.log"
        known = dict(os.environ) | {"TMPDIR": str(self.temporary)} if environment is None else dict(environment)
        pid = self.ask({"folder": str(folder), "command": command, "environment": known, "log": str(log)})
        return Forked(self, int(pid), log)

    def wait(self, script: Forked) -> tuple[int, str]:
        """Return the exit code of a script, and what it printed."""
        code = script.wait()
        printed = script.log.read_text() if script.log.exists() else ""
        script.log.unlink(missing_ok=True)
        return code, printed

    def run(self, folder: Path, *command: str) -> float:
        """Run a script to its good end, and return how many seconds it took."""
        started = time.monotonic()
        code, printed = self.wait(self.start(folder, *command))
        assert code == 0, printed
        return time.monotonic() - started

    def close(self) -> None:
        """End the process, and remove what it kept."""
        self.process.communicate("")
        shutil.rmtree(self.temporary.parent, ignore_errors=True)

    def ask(self, question: dict[str, object]) -> str:
        """Send a question and return the answer."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@functools.cache
def the_zygote() -> Zygote:
    """Start the zygote of this test process."""
    return Zygote(Path(tempfile.mkdtemp(prefix="zygote-")))


def close_zygote() -> None:
    """End the zygote of this test process, if one was started."""
    if the_zygote.cache_info().currsize:
        the_zygote().close()
        the_zygote.cache_clear()


def serve() -> None:
    """For each line, fork a script or look whether one has ended; a fork returns from here with its script."""
    for module in (*MODULES, *STAGES):
        importlib.import_module(module)
    configure_mappers()
    with undrawn():
        fork_scripts()


def fork_scripts() -> None:
    """Read the lines."""
    print("ready", flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        if "poll" in question:
            pid, status = os.waitpid(question["poll"], os.WNOHANG)
            print(status if pid else "", flush=True)
            continue
        child = os.fork()
        if child == 0:
            become(question["folder"], question["environment"], question["log"])
            script, *arguments = question["command"]
            sys.argv = [f"src/{script}.py", *arguments]
            run_script(importlib.import_module(script).main)
        print(child, flush=True)


def become(folder: str, environment: dict[str, str], log: str) -> None:
    """Let this process be as one that was started from a shell, in a session of its own, until the zygote ends."""
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # in their order with those of standard error
    os.chdir(folder)


if __name__ == "__main__":
    serve()
