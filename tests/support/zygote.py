"""A process that has imported everything, and forks to run a script of src/ whenever a line asks for it.

What it starts are real processes of the real scripts; without this, nine tenths of their lives would be imports.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.repositories import ROOT

MODULES = ("mlflow.sklearn", "mlflow.xgboost", "mlflow.onnx", "sklearn.pipeline", "shap", "matplotlib.pyplot", "optuna")
STAGES = ("pipeline.prepare.stage", "pipeline.train.stage", "pipeline.register.stage", "pipeline.register.rollback")


class Zygote:
    """Starts scripts; `folder` is where their temporary files are."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}",
            "OMP_WAIT_POLICY": "passive",
        }
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def start(self, folder: Path, *command: str) -> int:
        """Start a script in a folder, on the store that is in use now, and return its process id."""
        environment = {"MLFLOW_TRACKING_URI": os.environ["MLFLOW_TRACKING_URI"], "TMPDIR": str(self.temporary)}
        return int(self._ask({"folder": str(folder), "command": command, "environment": environment}))

    def wait(self, pid: int) -> tuple[int, str]:
        """Return the exit code of a script (of one that a signal killed, minus its number), and what it printed."""
        code = os.waitstatus_to_exitcode(int(self._ask({"wait": pid})))
        log = self.temporary.parent / f"{pid}.log"
        printed = log.read_text() if log.exists() else ""
        log.unlink(missing_ok=True)
        return code, printed

    def run(self, folder: Path, *command: str) -> float:
        """Run a script to its good end, and return how many seconds it took."""
        started = time.monotonic()
        code, printed = self.wait(self.start(folder, *command))
        assert code == 0, printed
        return time.monotonic() - started

    def close(self) -> None:
        """End the process."""
        self.process.communicate("")

    def _ask(self, question: dict[str, object]) -> str:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


def serve() -> None:
    """Fork a script, or wait for one, for each line."""
    for module in (*MODULES, *STAGES):
        importlib.import_module(module)
    print("ready", flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            print(os.waitpid(question["wait"], 0)[1], flush=True)
            continue
        child = os.fork()
        if child == 0:
            _run(question["folder"], question["command"], question["environment"])
        print(child, flush=True)


def _run(folder: str, command: list[str], environment: dict[str, str]) -> None:
    from pipeline.cli import run_script

    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.update(environment)
    tempfile.tempdir = None
    log = Path(environment["TMPDIR"]).parent / f"{os.getpid()}.log"
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    script, *arguments = command
    sys.argv = [f"src/{script}.py", *arguments]
    code = 1
    try:
        run_script(importlib.import_module(script).main)
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
