"""Fit XGBoost on a cluster: each shard of the rows is fitted on a worker, and the shards agree on every tree.

The shards exchange sums by XGBoost's own collective operations, in the order of their numbers, so the model depends on
the number of shards, but not on the workers. If a worker ends, all shards continue from the last checkpoint.
"""

import shutil
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.errors import PipelineError
from pipeline.support.cluster import Cluster
from pipeline.support.progress import progress
from pipeline.train.external_memory import Train
from pipeline.train.feature_rows import RowsOnDisk
from pipeline.train.shard_fit import POLL_SECONDS, Fit, fit_shards
from pipeline.train.tracker import running_tracker

if TYPE_CHECKING:
    from xgboost import Booster

CONNECT_SECONDS = 60  # for all shards to find each other
MAX_FAILURES = 5  # in a row, without a new checkpoint


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

    n_shards, failures, completed = min(n_shards, len(X)), 0, 0
    with tempfile.TemporaryDirectory(dir=X.files[0].parent) as name:
        fit = Fit(X, params, n_rounds, n_shards, Path(name))
        while True:
            fit = replace(fit, folder=Path(tempfile.mkdtemp(dir=name)))
            try:
                return Booster(model_file=bytearray(_attempt(cluster, fit)))
            except ShardsError as error:
                before, fit = completed, _continued(fit)
                completed = _rounds_of(fit)
                failures = 1 if completed > before else failures + 1
                if failures == MAX_FAILURES:
                    raise PipelineError(
                        f"the fit of {n_shards} shards failed {failures} times in a row after round {completed}: "
                        f"{error.__cause__ or error}",
                        "look at the logs of the Dask workers; lower train.shards if their memory is full",
                    ) from error
                progress(f"model_train: {error}; continuing after round {completed} of {n_rounds}")


def _attempt(cluster: Cluster, fit: Fit) -> bytes:
    """Fit all shards on workers that must stay alive; return the model."""
    client, workers = cluster.client, cluster.workers()
    addresses = list(workers)[: fit.n_shards]
    shares = {address: list(range(fit.n_shards))[place :: len(addresses)] for place, address in enumerate(addresses)}
    with running_tracker(_own_address(client.scheduler.address), fit.n_shards, CONNECT_SECONDS) as tracker:
        attempt = replace(fit, tracker=tracker)
        futures = {
            address: client.submit(
                fit_shards,
                attempt,
                ranks,
                max(1, workers[address] // len(ranks)),
                workers=[address],
                allow_other_workers=False,
                retries=0,
                pure=False,
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
            fit.cancel()
            client.cancel(list(futures.values()))
            raise
    return next(model for model in models if model is not None)


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


def _continued(fit: Fit) -> Fit:
    """Return a fit that continues from the last checkpoint of another one, whose shards may still be running."""
    if not fit.checkpoint.exists():
        return fit
    start = fit.folder.with_suffix(".ubj")
    shutil.copyfile(fit.checkpoint, start)
    return replace(fit, start=start)


def _rounds_of(fit: Fit) -> int:
    """Return the number of rounds that a fit continues from."""
    from xgboost import Booster

    return int(Booster(model_file=fit.start).num_boosted_rounds()) if fit.start else 0
