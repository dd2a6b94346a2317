"""Fits side by side, one thread each: on tables of thousands of rows a fit gains little from a second thread."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Data = TypeVar("Data")
Result = TypeVar("Result")


def side_by_side(
    function: Callable[[dict[str, Any], Data], Result], fits: Sequence[tuple[dict[str, Any], Data]]
) -> list[Result]:
    """Call a function on every fit, as many at a time as there are threads.

    Parameters
    ----------
    function : callable
        Called with a fit's parameters, in which ``nthread`` is how many threads it may use, and its data.
    fits : sequence of (params, data)
        ``nthread`` of their parameters is the threads in all, the same in each.

    Returns
    -------
    list
        In the order of the fits.
    """
    from joblib import Parallel, delayed

    if not fits:
        return []
    n_jobs = fits[0][0]["nthread"]
    # A last one that would run alone may use all threads.
    together = len(fits) - (len(fits) % n_jobs == 1)
    results: list[Result] = []
    if together:
        pool = Parallel(n_jobs=min(n_jobs, together), prefer="threads", batch_size=1)
        results += pool(delayed(function)({**params, "nthread": 1}, data) for params, data in fits[:together])
    return results + [function(params, data) for params, data in fits[together:]]
