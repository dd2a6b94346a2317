"""Fit XGBoost on a cluster: each shard of the rows is fitted on a worker, and the shards agree on every tree.

The shards exchange sums by XGBoost's own collective operations, in the order of their numbers, so the model depends on
the number of shards, but not on the workers. If a worker ends, all shards continue from the last checkpoint.
"""

import queue
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.errors import PipelineError
from pipeline.support.cluster import Cluster
from pipeline.support.files import atomic_write
from pipeline.support.progress import progress
from pipeline.train.external_memory import Train, external_matrix
from pipeline.train.feature_rows import RowsOnDisk

if TYPE_CHECKING:
    from xgboost import Booster

CHECKPOINT_ROUNDS = 10
POLL_SECONDS = 0.5
SILENCE_SECONDS = 60  # without an answer from another shard, a shard gives up
MAX_FAILURES = 5  # in a row, without a new checkpoint


@dataclass(frozen=True)
class Fit:
    """A fit of all shards, sent to each worker.

    Attributes
    ----------
    X : RowsOnDisk
    params : dict
        Of XGBoost's native interface.
    n_rounds, n_shards : int
    tracker : dict
        How a shard finds the others.
    checkpoint, cancelled : Path
        File of the last checkpoint, and file whose existence ends the fit.
    """

    X: RowsOnDisk
    params: Mapping[str, Any]
    n_rounds: int
    n_shards: int
    tracker: Mapping[str, Any]
    checkpoint: Path
    cancelled: Path


class ShardsError(Exception):
    """A worker ended, or a shard failed, during a fit."""


def train_on(cluster: Cluster, n_shards: int) -> Train:
    """Return the function that fits XGBoost on a cluster."""

    def train(X: RowsOnDisk, params: Mapping[str, Any], n_rounds: int, callbacks: Sequence[Any]) -> "Booster":
        native = {name: value for name, value in params.items() if name not in ("n_jobs", "random_state")}
        native["seed"] = params.get("random_state", 0)
        booster = train_on_shards(cluster, X, native, n_rounds, n_shards)
        booster.set_param(dict(params))
        for callback in callbacks:  # they cannot travel to the workers
            callback.before_training(booster)
            for number in range(n_rounds):
                callback.after_iteration(booster, number, {})
            callback.after_training(booster)
        return booster

    return train


def train_on_shards(
    cluster: Cluster, X: RowsOnDisk, params: Mapping[str, Any], n_rounds: int, n_shards: int
) -> "Booster":
    """Return the booster that is fitted on all shards of the rows.

    Parameters
    ----------
    cluster : Cluster
    X : RowsOnDisk
    params : mapping
        Of XGBoost's native interface.
    n_rounds, n_shards : int

    Raises
    ------
    PipelineError
        When there are no workers, or the fit fails `MAX_FAILURES` times without progress.
    """
    from xgboost import Booster

    failures, completed = 0, 0
    with tempfile.TemporaryDirectory(dir=X.files[0].parent) as folder:
        checkpoint = Path(folder) / "checkpoint.ubj"
        while True:
            workers = cluster.workers()
            try:
                model = _attempt(cluster, workers, X, params, n_rounds, n_shards, checkpoint)
                return Booster(model_file=bytearray(model))
            except ShardsError as error:
                before, completed = completed, _rounds_of(checkpoint)
                failures = 1 if completed > before else failures + 1
                if failures == MAX_FAILURES:
                    raise PipelineError(
                        f"the fit of {n_shards} shards failed {failures} times in a row after round {completed}: "
                        f"{error.__cause__ or error}",
                        "look at the logs of the Dask workers; lower train.shards if their memory is full",
                    ) from error
                progress(f"model_train: {error}; continuing after round {completed} of {n_rounds}")


def _attempt(
    cluster: Cluster,
    workers: Mapping[str, int],
    X: RowsOnDisk,
    params: Mapping[str, Any],
    n_rounds: int,
    n_shards: int,
    checkpoint: Path,
) -> bytes:
    """Fit all shards on workers that must stay alive; return the model."""
    client, addresses = cluster.client, list(workers)[:n_shards]
    shares = {address: list(range(n_shards))[place :: len(addresses)] for place, address in enumerate(addresses)}
    cancelled = checkpoint.with_name(f"cancelled-{time.monotonic_ns()}")
    with _running_tracker(_own_address(client.scheduler.address), n_shards) as tracker:
        fit = Fit(X, dict(params), n_rounds, n_shards, tracker, checkpoint, cancelled)
        options = {"allow_other_workers": False, "retries": 0, "pure": False}
        futures = {
            address: client.submit(
                fit_shards, fit, ranks, max(1, workers[address] // len(ranks)), workers=[address], **options
            )
            for address, ranks in shares.items()
        }
        try:
            while not all(future.done() for future in futures.values()):
                _check(futures, cluster.alive())
                time.sleep(POLL_SECONDS)
            _check(futures, workers)
            models: list[bytes | None] = client.gather(list(futures.values()))
        except BaseException:
            cancelled.touch()
            client.cancel(list(futures.values()))
            raise
    return next(model for model in models if model is not None)


@contextmanager
def _running_tracker(host: str, n_shards: int) -> Iterator[dict[str, Any]]:
    """Run a tracker until the block ends; yield the arguments with which a shard finds it and, through it, the others.

    It ranks the shards by their numbers.
    """
    from xgboost.core import XGBoostError
    from xgboost.tracker import RabitTracker

    tracker = RabitTracker(n_workers=n_shards, host_ip=host, sortby="task", timeout=SILENCE_SECONDS)
    tracker.start()
    try:
        yield tracker.worker_args()
    finally:
        with suppress(XGBoostError):  # a shard was lost
            tracker.free()


def _check(futures: Mapping[str, Any], alive: Mapping[str, int]) -> None:
    """Raise `ShardsError` if a worker is no longer alive or its shards have failed."""
    for address, future in futures.items():
        if address not in alive:
            raise ShardsError(f"worker {address} was lost")
        if future.status == "error":
            error = future.exception()
            if isinstance(error, PipelineError):
                raise error
            raise ShardsError(f"shards on worker {address} failed") from error
        if future.status in ("cancelled", "lost"):
            raise ShardsError(f"worker {address} was lost")


def _own_address(scheduler: str) -> str:
    """Return the address of this machine in the network of the scheduler."""
    parts = urlsplit(scheduler)
    if parts.hostname is None:  # inproc://
        return "127.0.0.1"
    family, *_, target = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(target)  # sends nothing
        return str(probe.getsockname()[0])


def _rounds_of(checkpoint: Path) -> int:
    from xgboost import Booster

    return int(Booster(model_file=checkpoint).num_boosted_rounds()) if checkpoint.exists() else 0


def fit_shards(fit: Fit, ranks: Sequence[int], n_threads: int) -> bytes | None:
    """Fit some shards in threads of this worker; return the model if the first shard is among them."""
    import xgboost.collective  # noqa: F401 (once here, because Python 3.11 may fail if threads import at the same time)

    outcomes: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(rank: int) -> None:
        try:
            outcomes.put(fit_shard(fit, rank, n_threads))
        except BaseException as error:
            outcomes.put(error)

    for rank in ranks:
        # A daemon: a shard that waits for a lost one ends after SILENCE_SECONDS, and nobody needs its outcome.
        threading.Thread(target=run, args=(rank,), daemon=True).start()
    model: bytes | None = None
    for _ in ranks:
        outcome = _next(outcomes, fit.cancelled.exists)
        if isinstance(outcome, BaseException):
            raise outcome
        model = outcome or model
    return model


def _next(outcomes: "queue.SimpleQueue[Any]", is_cancelled: Callable[[], bool]) -> Any:
    while True:
        try:
            return outcomes.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if is_cancelled():
                return ShardsError("the fit was cancelled")


def fit_shard(fit: Fit, rank: int, n_threads: int) -> bytes | None:
    """Fit one shard; return the model if it is the first one."""
    from xgboost import Booster, config_context
    from xgboost.collective import CommunicatorContext

    n_rows = len(fit.X)
    start, end = (n_rows * number // fit.n_shards for number in (rank, rank + 1))
    params = {**fit.params, "nthread": n_threads}
    communicator = CommunicatorContext(
        **fit.tracker, dmlc_task_id=f"{rank:08d}", dmlc_timeout=SILENCE_SECONDS, dmlc_retry=3
    )
    with config_context(verbosity=0), communicator, tempfile.TemporaryDirectory() as cache:
        data = external_matrix(fit.X, params, Path(cache), start, end)
        booster = Booster(params, [data], model_file=fit.checkpoint if fit.checkpoint.exists() else None)
        try:
            for number in range(booster.num_boosted_rounds(), fit.n_rounds):
                if number % CHECKPOINT_ROUNDS == 0:
                    if rank == 0 and number:
                        with atomic_write(fit.checkpoint) as temporary:
                            temporary.write_bytes(booster.save_raw("ubj"))
                    _restart_sampling(booster, int(params["seed"]) + number)
                booster.update(data, number)
            return bytes(booster.save_raw("ubj")) if rank == 0 else None
        finally:
            booster.reset()  # it refers to the data, whose files are removed
            del data


def _restart_sampling(booster: "Booster", seed: int) -> None:
    """Let rows and columns be sampled from here on as in a booster that continues from a checkpoint.

    XGBoost stores no state of its random generators. A change of the tree method makes it forget that of the columns;
    a new seed restarts that of the rows.
    """
    booster.set_param({"tree_method": "approx"})
    booster.save_config()  # applies it
    booster.set_param({"tree_method": "hist", "seed": seed})
