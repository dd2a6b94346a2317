"""Run fits in parallel: on a table of thousands of rows, two fits with a thread each gain more than one with two."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

Data = TypeVar("Data")
Result = TypeVar("Result")


class FitRunner(Protocol):
    """A way to run the fits of a search: `run_parallel`, or on a cluster."""

    def __call__(
        self, function: Callable[[dict[str, Any], Data], Result], fits: Sequence[tuple[dict[str, Any], Data]]
    ) -> list[Result]:
        """Return the results in the order of the fits."""


def run_parallel(
    function: Callable[[dict[str, Any], Data], Result], fits: Sequence[tuple[dict[str, Any], Data]]
) -> list[Result]:
    """Call a function for every fit, as many at a time as there are threads; spare threads are shared evenly.

    Parameters
    ----------
    function : callable
        ``function(params, data)`` runs one fit with ``params["nthread"]`` threads.
    fits : sequence of (params, data)
        ``params["nthread"]`` is the total number of threads, the same for all fits.

    Returns
    -------
    list
        Results in the order of the fits.
    """
    from joblib import Parallel, delayed

    if not fits:
        return []
    n_jobs = fits[0][0]["nthread"]
    # A last fit that would run alone gets all threads.
    n_parallel = len(fits) - (len(fits) % n_jobs == 1)
    results: list[Result] = []
    if n_parallel:
        workers = min(n_jobs, n_parallel)
        pool = Parallel(n_jobs=workers, prefer="threads", batch_size=1)
        threads = {"nthread": n_jobs // workers}
        results += pool(delayed(function)({**params, **threads}, data) for params, data in fits[:n_parallel])
    return results + [function(params, data) for params, data in fits[n_parallel:]]
