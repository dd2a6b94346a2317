"""Run tasks in parallel threads, and report their progress."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.support.progress import progress

Item = TypeVar("Item")
Result = TypeVar("Result")
MAX_THREADS = 4  # each holds a part of a table in memory
REPORTS = 10  # lines of progress


def in_threads(function: Callable[[Item], Result], items: Sequence[Item], description: str) -> list[Result]:
    """Call a function for each item in parallel threads.

    Parameters
    ----------
    function : callable
    items : sequence
    description : str
        Text of the progress lines, with the number of finished items.

    Returns
    -------
    list
        Results in the order of the items.
    """
    if len(items) <= 1:
        return [function(item) for item in items]
    from joblib import Parallel, cpu_count, delayed

    pool = Parallel(n_jobs=min(MAX_THREADS, cpu_count()), prefer="threads", batch_size=1, return_as="generator")
    results: list[Result] = []
    for result in pool(delayed(function)(item) for item in items):
        results.append(result)
        reports, before = (n * REPORTS // len(items) for n in (len(results), len(results) - 1))
        if reports > before:
            progress(f"{description} {len(results):,} of {len(items):,}")
    return results
