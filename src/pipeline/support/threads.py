"""Run tasks in parallel threads, and report their progress."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from pipeline.support.processes import available_processors
from pipeline.support.progress import progress

Item = TypeVar("Item")
Result = TypeVar("Result")
MAX_THREADS = 4  # each holds a part of a table in memory
REPORTS = 10  # lines of progress


class Runner(Protocol):
    """A way to call a function for many items: `in_threads`, or on a cluster."""

    def __call__(self, function: Callable[[Item], Result], items: Sequence[Item], description: str) -> list[Result]:
        """Return the results in the order of the items, and report progress."""


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
        Results in the order of the items. If calls fail, the error is that of the first item.
    """
    if len(items) <= 1:
        return [function(item) for item in items]
    results: list[Result] = []
    with ThreadPoolExecutor(min(MAX_THREADS, available_processors())) as pool:
        calls = [pool.submit(function, item) for item in items]
        try:
            for call in calls:
                results.append(call.result())
                report_share(description, len(results), len(items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def report_share(description: str, done: int, total: int) -> None:
    """Report progress at each of `REPORTS` even shares of the total."""
    if done * REPORTS // total > (done - 1) * REPORTS // total:
        progress(f"{description} {done:,} of {total:,}")
