"""Run fits in parallel, one thread each: on a table of thousands of rows, a fit gains little from a second thread."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Data = TypeVar("Data")
Result = TypeVar("Result")


def run_parallel(
    function: Callable[[dict[str, Any], Data], Result], fits: Sequence[tuple[dict[str, Any], Data]]
) -> list[Result]:
    """Call a function for every fit, as many at a time as there are threads.

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
        pool = Parallel(n_jobs=min(n_jobs, n_parallel), prefer="threads", batch_size=1)
        results += pool(delayed(function)({**params, "nthread": 1}, data) for params, data in fits[:n_parallel])
    return results + [function(params, data) for params, data in fits[n_parallel:]]
