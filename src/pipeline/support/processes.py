"""Identify the process that owns a file or run, check whether it has ended, and run other programs."""

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
TERMINATION_TIMEOUT = 30  # seconds between SIGTERM and SIGKILL, for the program to end its MLflow runs
CLOCK_TOLERANCE = 10  # seconds; a process's start time shifts when the system clock is adjusted


def available_processors() -> int:
    """Return how many processors this process may use, by its CPU affinity and the CPU quota of its container."""
    from joblib import cpu_count

    return int(cpu_count())


def owner() -> str:
    """Return the ID of this process, ``HOST~PID~STARTED``; it is valid in a file name."""
    return "~".join(owner_tags().values())


def owner_tags() -> dict[str, str]:
    """Return run tags that identify this process: host, pid, and process_started in seconds since the epoch."""
    started = psutil.Process().create_time()
    return {"host": socket.gethostname(), "pid": str(os.getpid()), "process_started": str(int(started))}


def is_gone(host: str, pid: str, started: str) -> bool:
    """Return whether the process with these `owner_tags` has ended.

    False also for a process of another host, which cannot be checked from here, and for invalid values.
    """
    if host != socket.gethostname() or not (pid.isdigit() and started.isdigit()):
        return False
    try:
        process = psutil.Process(int(pid))
        is_other = abs(process.create_time() - int(started)) > CLOCK_TOLERANCE
        return bool(is_other or process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def is_owner_gone(owner_id: str) -> bool:
    """Return whether the process with this `owner` ID has ended."""
    parts = owner_id.split("~")
    return len(parts) == 3 and is_gone(*parts)


def run_program(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], keep_open: Sequence[int] = ()
) -> tuple[int, str]:
    """Run a program and report its output as progress lines.

    If this raises, the program and all processes that it started are terminated.

    Parameters
    ----------
    command : sequence of str
    folder : Path
        The program's working directory.
    environment : mapping of str to str
    keep_open : sequence of int
        File descriptors that the program inherits, such as those of locks.

    Returns
    -------
    exit_code : int
    last_lines : str
        The last lines of its output.
    """
    last_lines: deque[str] = deque(maxlen=LAST_LINES)
    with _managed_process(command, folder, environment, keep_open) as process:
        assert process.stdout is not None
        for line in process.stdout:
            progress("  | " + line.removesuffix("\n"))
            last_lines.append(line)
        return process.wait(), "".join(last_lines).rstrip()


@contextmanager
def _managed_process(
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
                process.wait(TERMINATION_TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.stdout:
            process.stdout.close()
