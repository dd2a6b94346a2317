"""Running the pipeline of the current folder on another table, by DVC."""

import fcntl
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import GateError, PipelineError

LAST_LINES = 12
PATIENCE = 30  # seconds that stopped stages have to end their runs


@contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Hold the lock of a pipeline folder's retraining, and yield its descriptor, which `run_pipeline` gives to DVC.

    When this process is killed, DVC goes on and holds it until it has ended: two of them in one folder would disturb
    each other.

    Raises
    ------
    PipelineError
        When another retraining holds it.
    """
    with (folder / "dvc.yaml").open("rb") as file:  # DVC does not write to it, so it is the same file all the time
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PipelineError(
                f"another retraining is at work in {folder.resolve()}, or its DVC, if it was killed",
                "run this again when it has ended",
            ) from None
        yield file.fileno()


def run_pipeline(folder: Path, path: str, lock: int) -> None:
    """Run ``dvc exp run`` with another ``dataset.path``, and pass on what it prints; what is done is not redone.

    Parameters
    ----------
    folder : Path
        The pipeline folder.
    path : str
        Of the table.
    lock : int
        From `alone`.

    Raises
    ------
    GateError
        When ``register.stage`` is Production and the gate refuses the new model.
    PipelineError
        When a stage or DVC fails.
    """
    quoted = path.replace("\\'", "\\\\'").replace("'", "\\'")  # as Hydra reads it: a path may hold spaces and commas
    command = ["exp", "run", "--set-param", f"dataset.path='{quoted}'"]
    print(f"retrain: dvc {' '.join(command)}")
    last: deque[str] = deque(maxlen=LAST_LINES)
    with _started([sys.executable, "-m", "dvc", *command], folder, lock) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"  | {line}", end="", flush=True)
            last.append(line)
        code = process.wait()
    if code:
        printed = "".join(last).rstrip()
        if f"exited with {GateError.exit_code}" in printed:
            raise GateError(
                "the new model does not get the stage of register.stage, Production: see what FAILED above",
                "the version there goes on; the new model's run is in the store",
            )
        raise PipelineError(
            f"the pipeline fails (DVC's exit code {code}):\n{printed}",
            "mend what it says, and run this again: it goes on where it stopped",
        )


@contextmanager
def _started(command: list[str], folder: Path, lock: int) -> Iterator["subprocess.Popen[str]"]:
    """Start DVC, and end it and its stages when the block is left early."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        pass_fds=(lock,),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.stdout:
            process.stdout.close()
