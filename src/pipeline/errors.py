"""Errors a user can cause and mend, and how a script reports them."""

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
DATABASE_MODULES = ("sqlalchemy", "mlflow.store")


class PipelineError(Exception):
    """What is wrong, where, and the edit or command that mends it.

    Parameters
    ----------
    problem : str
        What is wrong and where (file, column, row, key).
    remedy : str
        The edit or command that mends it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n  -> {remedy}")
        self.problem = problem
        self.remedy = remedy


class ParamsError(PipelineError):
    """params.yaml cannot be used."""


class TableError(PipelineError):
    """The input table breaks its contract."""


class FormulaError(PipelineError):
    """A derived column's formula cannot be used."""


class StoreError(PipelineError):
    """The MLflow store cannot be used."""


class RegistryError(PipelineError):
    """A run cannot be registered or exported."""


def run_script(main: Callable[[], object]) -> NoReturn:
    """Run a script's `main` and exit as a command should.

    A `PipelineError`, or a file that cannot be read or written, becomes one message on standard error and exit code
    2. SIGTERM, Ctrl-C and a closed terminal unwind the stack, so that open MLflow runs end as FAILED and temporary
    files are removed.
    """
    for number in STOPPING:
        signal.signal(number, _stop)
    try:
        main()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        remedy = "check that its folder is one, that you may write there, and that the disk has space"
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}\n  -> {remedy}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)


def _stop(signum: int, frame: FrameType | None) -> None:
    """Leave the program as soon as it is not within a database call.

    A statement interrupted there keeps the database locked as long as its traceback lives, and the run's end could
    not be written. So look again in a twentieth of a second.
    """
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(DATABASE_MODULES):
            signal.signal(signal.SIGALRM, lambda _, later: _stop(signum, later))
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            return
        frame = frame.f_back
    for further in (*STOPPING, signal.SIGALRM):
        signal.signal(further, signal.SIG_IGN)
    print("stopped", file=sys.stderr)
    sys.exit(128 + signum)
