"""The tracker through which the shards of a fit find each other, in a process of its own.

XGBoost's tracker may crash its process when a shard is lost.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError

SOURCES = Path(__file__).parents[2]


@contextmanager
def running_tracker(host: str, n_shards: int, timeout: int) -> Iterator[dict[str, Any]]:
    """Run a tracker until the block ends; yield the arguments with which a shard finds it.

    Parameters
    ----------
    host : str
        The address of this machine to listen on.
    n_shards : int
        Number of shards, which are ranked by their numbers.
    timeout : int
        Seconds to wait for all shards.

    Raises
    ------
    PipelineError
        When the tracker cannot listen on the address.
    """
    command = [sys.executable, "-m", __name__, host, str(n_shards), str(timeout)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    pipe, silent = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=silent, env=environment) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise PipelineError(
                    f"XGBoost's tracker cannot listen on {host}, the address of this machine in the cluster's network",
                    "run the command on a machine with an address in that network",
                )
            yield json.loads(line)
        finally:
            process.kill()


def main() -> None:
    """Run a tracker until the standard input is closed, as it is when the parent ends."""
    from xgboost.tracker import RabitTracker

    host, n_shards, timeout = sys.argv[1:]
    tracker = RabitTracker(n_workers=int(n_shards), host_ip=host, sortby="task", timeout=int(timeout))
    tracker.start()
    print(json.dumps(tracker.worker_args()), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
