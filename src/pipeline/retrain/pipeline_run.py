"""Running the pipeline of the current folder on another table, by DVC."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import GateError, PipelineError
from pipeline.support.processes import run_shown
from pipeline.support.progress import progress


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
    progress(f"retrain: dvc {' '.join(command)}")
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    code, last = run_shown([sys.executable, "-m", "dvc", *command], folder, os.environ | {"PATH": paths}, [lock])
    if code:
        if f"exited with {GateError.exit_code}" in last:
            raise GateError(
                "the new model does not get the stage of register.stage, Production: see what FAILED above",
                "the version there goes on; the new model's run is in the store",
            )
        raise PipelineError(
            f"the pipeline fails (DVC's exit code {code}):\n{last}",
            "mend what it says, and run this again: it goes on where it stopped",
        )
