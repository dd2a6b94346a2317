"""Run the fits of a search on the workers of a cluster, where that is faster than in this process."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import uuid4

from pipeline.learn.boosters import Fold, bin_fold
from pipeline.learn.parallel import run_parallel
from pipeline.support.cluster import Cluster

Data = TypeVar("Data")
Result = TypeVar("Result")
MIN_SECONDS = 0.2  # of a fit; a task costs 10 to 30 ms
CACHED_FOLDS = 16  # on a worker

_folds: dict[str, Fold] = {}  # on a worker, by their names


class ClusterFits:
    """A `FitRunner` that uses the workers if they have more threads, and the fits before took long enough.

    Parameters
    ----------
    cluster : Cluster
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.seconds = 0.0  # processor time of a fit
        self.sent: dict[int, tuple[Fold, str, Any]] = {}

    def __call__(
        self, function: Callable[[dict[str, Any], Data], Result], fits: Sequence[tuple[dict[str, Any], Data]]
    ) -> list[Result]:
        """Return the results in the order of the fits; they do not depend on where these run."""
        n_threads = fits[0][0]["nthread"] if fits else 0
        if self.seconds >= MIN_SECONDS and sum(self.cluster.alive().values()) > n_threads:
            from distributed import CancelledError, KilledWorker

            try:
                return self._on_workers(function, fits)
            except (CancelledError, KilledWorker):  # a worker with a fold was lost
                self.sent.clear()
        started = time.perf_counter()
        results = run_parallel(function, fits)
        self.seconds = (time.perf_counter() - started) * n_threads / max(len(fits), 1)
        return results

    def _on_workers(self, function: Any, fits: Sequence[tuple[dict[str, Any], Any]]) -> list[Any]:
        client = self.cluster.client
        calls = [
            client.submit(_fit, function, {**params, "nthread": 1}, *self._sent(fold), pure=False)
            for params, fold in fits
        ]
        try:
            results: list[Any] = client.gather(calls)
            return results
        finally:
            client.cancel(calls)

    def _sent(self, fold: Fold) -> tuple[str, Any]:
        """Return the name of a fold and the future of its tables, which are sent to one worker, and from there on."""
        if id(fold) not in self.sent:
            tables = self.cluster.client.scatter([fold.source], hash=False)[0]
            self.sent[id(fold)] = fold, uuid4().hex, tables  # the fold, so that no other one gets its ID
        return self.sent[id(fold)][1:]


def _fit(
    function: Callable[[dict[str, Any], Fold], Result], params: dict[str, Any], name: str, source: tuple[Any, Any]
) -> Result:
    """Run a fit on a worker, which keeps the bins of the folds."""
    if name not in _folds:
        if len(_folds) >= CACHED_FOLDS:
            _folds.pop(next(iter(_folds)), None)
        _folds[name] = bin_fold(*source)
    return function(params, _folds[name])
