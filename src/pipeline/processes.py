"""Whose a file or a run is: host, process id and start time, and whether that process is gone."""

import os
import socket

import psutil

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
