"""The load of the machine: a benchmark measures only while no other program uses the processors."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

MAX_BUSY = 0.15  # processors in use that still count as idle
SAMPLE_SECONDS = 5.0
PATIENCE_SECONDS = 120.0


def sample_load(seconds: float = SAMPLE_SECONDS) -> tuple[float, list[str]]:
    """Return how many processors are in use over some seconds in which this process sleeps, and by which programs.

    Unlike the load average, it does not contain a benchmark that has just ended.

    Returns
    -------
    float
        Mean number of processors in use, including those taken by other virtual machines.
    list of str
        Up to three programs that use most, with their process IDs.
    """
    _cpu_percents()
    busy = psutil.cpu_percent(interval=seconds) / 100 * (psutil.cpu_count() or 1)
    used = sorted(_cpu_percents(), reverse=True)[:3]
    return busy, [f"{command} (process {pid}: {percent / 100:.2g})" for percent, pid, command in used if percent > 1]


def _cpu_percents() -> list[tuple[float, int, str]]:
    """Return each process with its CPU use since the previous call."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended
            found.append((process.cpu_percent(), process.pid, " ".join(process.cmdline())[:60] or process.name()))
    return found


def wait_until_idle(patience: float = PATIENCE_SECONDS) -> float:
    """Wait until other programs leave the processors idle, and return how many processors they use.

    Raises
    ------
    SystemExit
        If they are still busy after `patience` seconds; the message names the programs.
    """
    began = time.monotonic()
    while (load := sample_load())[0] > MAX_BUSY:
        if time.monotonic() - began > patience:
            raise SystemExit(
                f"error: the machine is busy: other programs use {load[0]:.2g} of {os.cpu_count()} processors "
                f"(at most {MAX_BUSY:g} may be in use), mostly {'; '.join(load[1]) or 'of other virtual machines'}\n"
                "  -> end them, or wait, and run the benchmark again"
            )
        print(f"  waiting: other programs use {load[0]:.2g} processors", file=sys.stderr, flush=True)
    return load[0]


@contextmanager
def control_group(limits: Sequence[tuple[str, str, str]]) -> Iterator[Path | None]:
    """Create a control group until the block ends; None where that is not possible.

    Parameters
    ----------
    limits : sequence of (folder, file, content)
        For each version of control groups: the parent folder, and the file in the group that sets the limit.
    """
    for parent, name, content in limits:
        group = Path(parent) / f"benchmark-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:  # no such hierarchy, or not allowed
            continue
        try:
            if (group / name).exists():  # otherwise the hierarchy has no such limit
                (group / name).write_text(content)
                yield group
                return
        finally:
            group.rmdir()
    yield None


def in_group(command: Sequence[str], group: Path | None) -> list[str]:
    """Return a command that runs in a control group."""
    if group is None:
        return list(command)
    return ["sh", "-c", f'echo $$ >"{group}/cgroup.procs" && exec "$@"', "sh", *command]
