"""Run a script: report errors with exit codes, stop on signals, and clean up temporary files."""

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
from pipeline.support.files import remove_unfinished_files
from pipeline.support.memory import collect_garbage_rarely
from pipeline.support.processes import owner
from pipeline.support.progress import progress_handler

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
RETRY_INTERVAL = 0.05  # seconds until the exit is tried again where it could not be raised
GRACE = 2.0  # seconds until the exit is raised again, for code that catches it and cleans up after the `except` block
DATABASE_MODULES = ("sqlalchemy", "mlflow.store")
# Functions called from C, which discards their exceptions: finalizers, also those of thread pools; XGBoost's data
# iterators and log callback; threadpoolctl's scan of loaded libraries.
C_CALLBACKS = ("__del__", "weakref_cb", "_next_wrapper", "_reset_wrapper", "_log_callback", "match_library_callback")
# An error from one of these modules is reported as an error of the MLflow store.
STORE_MODULES = ("mlflow.", "sqlalchemy.", "sqlite3", "requests.", "botocore.", "boto3.")


def run_script(main: Callable[[], object]) -> NoReturn:
    """Run a script's `main` and exit with its exit code.

    A `PipelineError`, a file that cannot be read or written, or a failure of the MLflow store is reported as a message
    on standard error, with exit code 2 (3 if the gate refuses a model). SIGTERM, SIGINT (Ctrl-C) and SIGHUP (a closed
    terminal) unwind the stack, so that open MLflow runs end as FAILED and temporary files are removed; the exit code
    is then 128 plus the signal number.
    """
    collect_garbage_rarely()
    stop = _Stop()
    try:
        with own_temporary_folder(), progress_handler(_print):
            main()
    except BaseException as error:
        if not stop.exit:  # after a signal, any exception results from it
            _report(error)
            raise
    finally:
        stop.end()
    sys.exit(stop.exit.code if stop.exit else 0)


def _print(line: str) -> None:
    print(line, flush=True)


def _report(error: BaseException) -> None:
    """Print a message and exit if a user can fix the error; return otherwise."""
    if isinstance(error, PipelineError):
        print(f"{error.label}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    if isinstance(error, BrokenPipeError):  # the reader of the output, such as head, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    if isinstance(error, OSError):
        remedy = "check that its folder exists and is writable, and that the disk has free space"
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}\n  -> {remedy}", file=sys.stderr)
        sys.exit(2)
    if isinstance(error, Exception) and type(error).__module__.startswith(STORE_MODULES):
        from pipeline.store.open import mask_passwords

        detail = mask_passwords(" ".join(str(error).split()))[:500]
        remedy = "fix the cause (python src/store.py status shows the store's state), then run the command again"
        if "disk is full" in detail or "No space left" in detail:
            remedy = "free disk space (python src/store.py prune lists what can be removed), then run the command again"
        print(f"error: the MLflow store failed: {detail}\n  -> {remedy}", file=sys.stderr)
        sys.exit(2)


class _Stop:
    """A signal handler that ends the program by raising `SystemExit` in the main thread.

    The exit is not raised in two places. In a database call, the interrupted statement would keep the database locked
    as long as its traceback lives, and the end of the run could not be recorded. In a function called from C, the
    exception would be discarded.

    An exit that was raised can still get lost: C code may convert it to another exception, as Python does for
    ``__set_name__`` of a class created during an import, or a library may catch everything. A timer therefore raises
    it again until the program ends.
    """

    def __init__(self) -> None:
        self.exit: SystemExit | None = None
        for number in STOP_SIGNALS:
            signal.signal(number, self._begin)

    def _begin(self, signum: int, frame: FrameType | None) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        print("stopped", file=sys.stderr)
        self.exit = SystemExit(128 + signum)
        sys.unraisablehook = self._retry_soon
        signal.signal(signal.SIGALRM, self._raise_exit)
        signal.setitimer(signal.ITIMER_REAL, RETRY_INTERVAL, RETRY_INTERVAL)
        self._raise_exit(signum, frame)

    def _raise_exit(self, signum: int, frame: FrameType | None) -> None:
        """Raise the exit, unless it is already being handled: cleanup code must not be interrupted."""
        handled = sys.exception()
        while handled is not None:
            if handled is self.exit:
                return
            handled = handled.__context__
        while frame is not None:
            in_database = str(frame.f_globals.get("__name__")).startswith(DATABASE_MODULES)
            if in_database or frame.f_code.co_name in C_CALLBACKS:
                return
            frame = frame.f_back
        signal.setitimer(signal.ITIMER_REAL, GRACE, GRACE)
        assert self.exit is not None
        raise self.exit

    def _retry_soon(self, discarded: "sys.UnraisableHookArgs") -> None:
        """Raise the exit again if C code has discarded it, as it does for callbacks of weak references."""
        if discarded.exc_value is self.exit:
            signal.setitimer(signal.ITIMER_REAL, RETRY_INTERVAL, RETRY_INTERVAL)
        else:
            sys.__unraisablehook__(discarded)

    def end(self) -> None:
        """Stop the timer and restore the default signal handlers, for functions registered with `atexit`.

        After a stop, further signals stay ignored.
        """
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN if self.exit else signal.SIG_DFL)


@contextmanager
def own_temporary_folder() -> Iterator[None]:
    """Keep the temporary files of this process and its subprocesses in one folder, removed when the block ends.

    First removes the temporary folders that killed scripts left.
    """
    system_folder = Path(tempfile.gettempdir())
    remove_unfinished_files(system_folder)
    own_folder = system_folder / f".pipeline.{owner()}.tmp"
    own_folder.mkdir(mode=0o700)
    previous = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = tempfile.tempdir = str(own_folder)
    try:
        yield
    finally:
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
        if previous is not None:
            os.environ["TMPDIR"] = previous
        shutil.rmtree(own_folder, ignore_errors=True)
