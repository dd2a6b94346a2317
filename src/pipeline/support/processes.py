"""Processes: whose a file or a run is and whether that process is gone; running another program."""

import os
import signal
import socket
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from pipeline.support.progress import progress

LAST_LINES = 12
PATIENCE = 30  # seconds that a stopped program has to end its MLflow runs
CLOCK_SHIFT = 10  # seconds by which a start time may be read differently once the machine's clock was set


def owner() -> str:
    """Return this process as ``HOST~PID~STARTED``, a text that may stand in a file's name."""
    return "~".join(owner_tags().values())


def owner_tags() -> dict[str, str]:
    """Return this process as tags of a run: host, pid, and process_started in seconds since the epoch."""
    started = psutil.Process().create_time()
    return {"host": socket.gethostname(), "pid": str(os.getpid()), "process_started": str(int(started))}


def is_gone(host: str, pid: str, started: str) -> bool:
    """Return whether a process, as `owner_tags` describes it, has ended.

    False as well of a process of another host, of which this one knows nothing, and of what describes no process.
    """
    if host != socket.gethostname() or not (pid.isdigit() and started.isdigit()):
        return False
    try:
        process = psutil.Process(int(pid))
        other = abs(process.create_time() - int(started)) > CLOCK_SHIFT
        return bool(other or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def is_owner_gone(text: str) -> bool:
    """Return whether the process that `owner` named has ended."""
    parts = text.split("~")
    return len(parts) == 3 and is_gone(*parts)


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
            progress("  | " + line.removesuffix("\n"))
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
