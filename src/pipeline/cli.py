"""How a script runs: its errors as messages and exit codes, the signals that stop it, its temporary files."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pipeline.errors import PipelineError
from pipeline.support.files import sweep_files
from pipeline.support.processes import owner
from pipeline.support.progress import shown_by

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TICK = 0.05  # seconds until a stop that could not be raised is tried again
GRACE = 2.0  # seconds that what handles a stop elsewhere than in `except` or `finally` has before it is raised again
DATABASE_MODULES = ("sqlalchemy", "mlflow.store")
# Functions that C calls, which drops what they raise: finalizers, also of thread pools; XGBoost's readers of data and
# its log; threadpoolctl's look at the loaded libraries.
CALLED_BY_C = ("__del__", "weakref_cb", "_next_wrapper", "_reset_wrapper", "_log_callback", "match_library_callback")
STORE_MODULES = (
    "mlflow.",
    "sqlalchemy.",
    "sqlite3",
    "requests.",
    "botocore.",
    "boto3.",
)  # whose errors the store's are


def run_script(main: Callable[[], object]) -> NoReturn:
    """Run a script's `main` and exit as a command should.

    A `PipelineError`, a file that cannot be read or written, or a store that fails on the way becomes one message on
    standard error and exit code 2 (3 where the gate refuses a model). SIGTERM, Ctrl-C and a closed terminal unwind
    the stack, so that open MLflow runs end as FAILED and temporary files are removed; the exit code is 128 and the
    signal's number.
    """
    stop = _Stop()
    try:
        with own_temporary_folder(), shown_by(_print):
            main()
    except BaseException as error:
        if not stop.exit:  # whatever it became on its way here
            _report(error)
            raise
    finally:
        stop.end()
    sys.exit(stop.exit.code if stop.exit else 0)


def _print(line: str) -> None:
    print(line, flush=True)


def _report(error: BaseException) -> None:
    """Exit with a message for an error that a user can fix; return for any other."""
    if isinstance(error, PipelineError):
        print(f"{error.label}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if isinstance(error, BrokenPipeError):  # the reader of the output, such as head, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    if isinstance(error, OSError):
        remedy = "check that its folder is one, that you may write there, and that the disk has space"
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}\n  -> {remedy}", file=sys.stderr)
        sys.exit(2)
    if isinstance(error, Exception) and type(error).__module__.startswith(STORE_MODULES):
        from pipeline.store.open import without_password

        detail = without_password(" ".join(str(error).split()))[:500]
        remedy = "fix what it says (python src/store.py status shows the store), and run the command again"
        if "disk is full" in detail or "No space left" in detail:
            remedy = "free disk space (python src/store.py prune tells what may go), and run the command again"
        print(f"error: the MLflow store failed: {detail}\n  -> {remedy}", file=sys.stderr)
        sys.exit(2)


class _Stop:
    """Ends the program at a signal, by an exception in the main thread.

    Not within a database call: a statement interrupted there keeps the database locked as long as its traceback lives,
    and the run's end could not be written. Nor within a function that C calls, which drops exceptions. And an exception
    is lost on its way where C turns it into another one, as Python does for ``__set_name__`` of a class that an import
    creates, or where a library catches everything. So look again until the program ends.
    """

    def __init__(self) -> None:
        self.exit: SystemExit | None = None
        for number in STOPPING:
            signal.signal(number, self._begin)

    def _begin(self, signum: int, frame: FrameType | None) -> None:
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        print("stopped", file=sys.stderr)
        self.exit = SystemExit(128 + signum)
        signal.signal(signal.SIGALRM, self._leave)
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
        self._leave(signum, frame)

    def _leave(self, signum: int, frame: FrameType | None) -> None:
        """Raise the exit, unless it is being handled already: what cleans up is left to its end."""
        handled = sys.exception()
        while handled is not None:
            if handled is self.exit:
                return
            handled = handled.__context__
        while frame is not None:
            in_database = str(frame.f_globals.get("__name__")).startswith(DATABASE_MODULES)
            if in_database or frame.f_code.co_name in CALLED_BY_C:
                return
            frame = frame.f_back
        signal.setitimer(signal.ITIMER_REAL, GRACE, GRACE)
        assert self.exit is not None
        raise self.exit

    def end(self) -> None:
        """Leave what follows, such as functions registered with `atexit`, to the signals' own defaults."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN if self.exit else signal.SIG_DFL)


@contextmanager
def own_temporary_folder() -> Iterator[None]:
    """Let all temporary files of this process, and of those it starts, lie in one folder, which is removed at the end.

    What killed scripts left is removed first.
    """
    system = Path(tempfile.gettempdir())
    sweep_files(system)
    own = system / f".pipeline.{owner()}.tmp"
    own.mkdir(mode=0o700)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = tempfile.tempdir = str(own)
    try:
        yield
    finally:
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before
        shutil.rmtree(own, ignore_errors=True)
