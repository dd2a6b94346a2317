"""Connect to a Dask cluster, or start one on this machine, and run functions on its workers."""

import logging
import os
import platform
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import PipelineError
from pipeline.support.files import sha256_of_files
from pipeline.support.processes import available_processors
from pipeline.support.progress import progress
from pipeline.support.threads import in_threads, report_share

Item = TypeVar("Item")
Result = TypeVar("Result")
SOURCES = Path(__file__).parents[1]
CONNECT_SECONDS = 10
WORKERS_SECONDS = 60  # how long to wait for a worker when there is none
ANSWER_SECONDS = 30  # for each worker to answer
HEARTBEAT_SECONDS = 30  # a worker that was last seen longer ago does not count
FORGET_CODE = """
import sys
for name in [name for name in sys.modules if name.partition(".")[0] == "pipeline"]:
    del sys.modules[name]
"""  # of an earlier command; a function of this package would come from the code that it should replace
PACKAGES = ("xgboost", "numpy", "pandas", "pyarrow", "scikit-learn")  # what results depend on


@dataclass(frozen=True)
class Cluster:
    """A connection to a Dask scheduler.

    Attributes
    ----------
    client : distributed.Client
    folder : Path
        The pipeline folder, which all workers must see under the same path.
    code : str
        The name of the archive with the code that was sent to the workers; empty for workers of this machine.
    """

    client: Any
    folder: Path
    code: str = ""

    def workers(self) -> dict[str, int]:
        """Return the number of threads of each worker that is alive, by address; wait for the first one.

        Raises
        ------
        PipelineError
            When there is no worker, or one has other versions of Python or packages, or does not see the folder.
        """
        started = time.monotonic()
        while time.monotonic() - started < WORKERS_SECONDS:
            alive = self.alive()
            try:
                if alive:
                    self._check(list(alive))
                    return alive
            except TimeoutError:  # a worker does not answer; its last heartbeat is soon too long ago
                progress(f"waiting for workers that do not answer, for at most {HEARTBEAT_SECONDS} seconds")
            time.sleep(0.2)
        raise PipelineError(
            f"the Dask scheduler {self.client.scheduler.address} has no workers",
            f"start some: dask worker {self.client.scheduler.address} --nthreads 1",
        )

    def alive(self) -> dict[str, int]:
        """Return the number of threads of each worker with a recent heartbeat, by address."""
        with _scheduler_errors(self.client):
            info: dict[str, Any] = self.client.sync(
                self.client.scheduler.identity, n_workers=-1, callback_timeout=CONNECT_SECONDS
            )
        now = time.time()
        workers = info["workers"].items()
        alive = {address: each for address, each in workers if now - each["last_seen"] < HEARTBEAT_SECONDS}
        return {address: int(alive[address]["nthreads"]) for address in sorted(alive)}

    def _check(self, addresses: list[str]) -> None:
        """Raise if a worker cannot do the work of this process."""
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".cluster-") as file:
            describe = partial(self.client.run, _describe_worker, file.name, workers=addresses, on_error="return")
            found = _within(ANSWER_SECONDS, describe)
        own = versions()
        for address, worker in found.items():
            if isinstance(worker, BaseException):
                continue  # it has ended since
            for name, expected in own.items():
                if worker[name] != expected:
                    raise PipelineError(
                        f"worker {address} has {name} {worker[name]}, but this machine has {expected}",
                        "install the packages of requirements.lock, with the same Python, on all machines",
                    )
            if self.code not in worker["code"]:
                raise PipelineError(
                    f"worker {address} has been sent the code of another pipeline",
                    "run one pipeline at a time on a cluster",
                )
            if not worker["sees_folder"]:
                raise PipelineError(
                    f"worker {address} does not see the folder {self.folder}",
                    "put the repository on a file system that all machines mount under the same path",
                )

    def run(self, function: Callable[[Item], Result], items: Sequence[Item], description: str) -> list[Result]:
        """Call a function for each item on the workers, as `in_threads` does in this process."""
        if len(items) <= 1:
            return in_threads(function, items, description)
        from distributed import KilledWorker

        self.workers()
        results: list[Result] = []
        with _scheduler_errors(self.client):
            shared = self.client.scatter(_Shared(function), broadcast=True, timeout=WORKERS_SECONDS)
            calls = self.client.map(_call, items, function=shared, pure=False)
            try:
                for call in calls:
                    result = call.result()
                    if isinstance(result, _FileError | PipelineError):
                        break
                    results.append(result)
                    report_share(description, len(results), len(items))
            except KilledWorker as error:
                raise PipelineError(
                    f"{error.last_worker.address} and the workers before it ended during the same task, maybe because "
                    "the memory was full",
                    "give the workers more memory, and look at their logs",
                ) from None
            finally:
                self.client.cancel(calls)
        if isinstance(result, _FileError):
            raise OSError(result.number, result.reason, result.file)
        if isinstance(result, PipelineError):
            raise result
        return results


@dataclass(frozen=True)
class _Shared:
    """A function that is sent to each worker once; Dask would call a bare function."""

    function: Callable[[Any], Any]


@dataclass(frozen=True)
class _FileError:
    """An error of a file on a worker, which is not one of a connection."""

    number: int
    reason: str
    file: str | None


def _call(item: Any, function: _Shared) -> Any:
    try:
        return function.function(item)
    except PipelineError as error:
        return type(error)(error.problem, error.remedy)  # without its context, which may be too large or not be sent
    except OSError as error:
        return _FileError(error.errno or 0, error.strerror or str(error), error.filename)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    return {"Python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def _describe_worker(file: str) -> dict[str, Any]:
    return {**versions(), "code": str(SOURCES), "sees_folder": Path(file).exists()}


def cluster_of(engine: str, folder: Path) -> AbstractContextManager["Cluster | None"]:
    """Return the context of a cluster for the engine ``dask``, and of None for ``local``."""
    return connected(folder) if engine == "dask" else nullcontext()


@contextmanager
def connected(folder: Path) -> Iterator[Cluster]:
    """Connect to the scheduler of Dask's configuration or, without one, start workers on this machine.

    The address is DASK_SCHEDULER_ADDRESS or ``scheduler-address`` of Dask's configuration files, which also have the
    settings of TLS. Its workers get the code of this process.

    Parameters
    ----------
    folder : Path
        The pipeline folder.

    Raises
    ------
    PipelineError
        When the scheduler does not answer.
    """
    import dask
    from distributed import Client, LocalCluster

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # lost workers are reported here
    address = dask.config.get("scheduler-address", None)
    if not address:
        n_workers = available_processors()
        progress(f"starting {n_workers} Dask workers on this machine (DASK_SCHEDULER_ADDRESS is not set)")
        with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
            # Otherwise Dask closes a worker that is lost again while it restarts.
            stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": "1000 hours"}))
            try:
                started = LocalCluster(
                    n_workers=n_workers,
                    threads_per_worker=1,
                    memory_limit=0,
                    dashboard_address="127.0.0.1:0",  # any free port
                    local_directory=scratch,
                    silence_logs=logging.CRITICAL,
                )
            except RuntimeError as error:
                raise PipelineError(
                    f"Dask workers cannot be started on this machine ({str(error).partition(chr(10))[0]})",
                    "end other programs, or set train.engine: local",
                ) from error
            client = stack.enter_context(Client(stack.enter_context(started)))
            client.register_plugin(_quiet())
            yield Cluster(client, folder.resolve())
        return
    try:  # the timeout of Dask does not cover the first messages
        client = _within(CONNECT_SECONDS + 1, partial(Client, address, timeout=CONNECT_SECONDS))
    except (OSError, ValueError, TypeError, RuntimeError) as error:  # the last two for an address that needs TLS
        reason = str(error).partition("\n")[0] or f"in {CONNECT_SECONDS} seconds"
        raise PipelineError(
            f"the Dask scheduler {address} does not answer ({reason})",
            "correct DASK_SCHEDULER_ADDRESS, start it (dask scheduler), or unset the variable to use this machine only",
        ) from None
    with client:
        try:
            code = _within(ANSWER_SECONDS, partial(_send_code, client))
        except TimeoutError:
            raise PipelineError(
                f"a worker of the Dask scheduler {address} does not answer", "restart or end the workers that hang"
            ) from None
        cluster = Cluster(client, folder.resolve(), code)
        progress(f"connected to the Dask scheduler {address}: {len(cluster.workers())} workers")
        yield cluster


def _quiet() -> Any:
    """Return a plugin that discards what a worker prints: lines of XGBoost's that nothing turns off, and lost peers."""
    from distributed import WorkerPlugin

    class Quiet(WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    return Quiet()


def _send_code(client: Any) -> str:
    """Send the package `pipeline` to the scheduler and all workers, and return the name of its archive.

    The scheduler reads the tasks, and sends the archive to workers that start later.
    """
    from distributed.diagnostics.plugin import SchedulerUploadFile, UploadFile

    sources = sorted(SOURCES.rglob("*.py"))
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / f"pipeline-{sha256_of_files(sources)[:16]}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for source in sources:
                file.write(source, source.relative_to(SOURCES.parent))
        client.run_on_scheduler(exec, FORGET_CODE)
        client.run(exec, FORGET_CODE)
        for plugin in (SchedulerUploadFile, UploadFile):
            client.register_plugin(plugin(str(archive)), name="pipeline")  # replaces that of an earlier command
    return archive.name


def _within(seconds: float, function: Callable[[], Result]) -> Result:
    """Return the result of a function, or raise `TimeoutError` and leave it behind."""
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result(seconds)


@contextmanager
def _scheduler_errors(client: Any) -> Iterator[None]:
    """Replace the errors of a lost connection to the scheduler by one that says what to do."""
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError

    try:
        yield
    except (CommClosedError, FutureCancelledError, OSError) as error:
        if isinstance(error, OSError) and not isinstance(error, CommClosedError) and error.errno is not None:
            raise  # of a file
        address = client.scheduler.address if client.scheduler else "that was connected"
        raise PipelineError(
            f"the Dask scheduler {address} does not answer any more", "check it, and run the command again"
        ) from error
