"""Running another program, whose output is shown while it runs."""

import os
import signal
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

LAST_LINES = 12
PATIENCE = 30  # seconds that a stopped program has to end its MLflow runs


def run_shown(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], keep_open: Sequence[int] = ()
) -> tuple[int, str]:
    """Run a program and pass on what it prints; it ends, with all it started, when this is left early.

    Parameters
    ----------
    command : sequence of str
    folder : Path
        Its current folder.
    environment : mapping of str to str
    keep_open : sequence of int
        Descriptors that it gets, such as of locks.

    Returns
    -------
    code : int
        Its exit code.
    last : str
        The last lines that it printed.
    """
    last: deque[str] = deque(maxlen=LAST_LINES)
    with _started(command, folder, environment, keep_open) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"  | {line}", end="", flush=True)
            last.append(line)
        return process.wait(), "".join(last).rstrip()


@contextmanager
def _started(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], keep_open: Sequence[int]
) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        pass_fds=keep_open,
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
