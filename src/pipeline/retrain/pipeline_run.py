"""Run the pipeline of a folder on another table, with DVC."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import GateError, PipelineError
from pipeline.support.processes import run_program
from pipeline.support.progress import progress


@contextmanager
def retraining_lock(folder: Path) -> Iterator[int]:
    """Hold the retraining lock of a pipeline folder, and yield its file descriptor for `run_pipeline`.

    DVC inherits the descriptor. If this process is killed, DVC continues and holds the lock until it ends, so that two
    of them never run in one folder.

    Raises
    ------
    PipelineError
        If another retraining holds the lock.
    """
    with (folder / "dvc.yaml").open("rb") as file:  # DVC does not rewrite this file, so the lock stays valid
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PipelineError(
                f"another retraining is running in {folder.resolve()}, or its DVC if it was killed",
                "run this again when it has ended",
            ) from None
        yield file.fileno()


def run_pipeline(folder: Path, path: str, lock: int) -> None:
    """Run ``dvc exp run`` with another ``dataset.path``; stages that are up to date are skipped.

    Parameters
    ----------
    folder : Path
        The pipeline folder.
    path : str
        Path of the table.
    lock : int
        The file descriptor from `alone`.

    Raises
    ------
    GateError
        If ``register.stage`` is Production and the gate refuses the new model.
    PipelineError
        If a stage or DVC fails.
    """
    quoted = path.replace("\\'", "\\\\'").replace("'", "\\'")  # quoted for Hydra: a path may contain spaces and commas
    command = ["exp", "run", "--set-param", f"dataset.path='{quoted}'"]
    progress(f"retrain: dvc {' '.join(command)}")
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    code, last = run_program([sys.executable, "-m", "dvc", *command], folder, os.environ | {"PATH": paths}, [lock])
    if code:
        if f"exited with {GateError.exit_code}" in last:
            raise GateError(
                "the new model is not promoted to Production (register.stage): see the lines marked FAILED above",
                "the current version stays in Production; the new model's run is in the store",
            )
        raise PipelineError(
            f"the pipeline failed (exit code {code} of DVC):\n{last}",
            "fix the reported error, and run this again: it continues where it stopped",
        )
