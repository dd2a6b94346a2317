"""Errors a user can cause and mend, and how a script reports them."""

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn


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

    A `PipelineError` becomes one message on standard error and exit code 2. SIGTERM unwinds the stack
    like Ctrl-C does, so that open MLflow runs end as FAILED and temporary files are removed.
    """
    signal.signal(signal.SIGTERM, _exit_on_signal)
    try:
        main()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def _exit_on_signal(signum: int, frame: FrameType | None) -> None:
    sys.exit(128 + signum)
