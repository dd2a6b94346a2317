"""Fits side by side, one thread each: on tables of thousands of rows a fit gains little from a second thread."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def side_by_side(function: Callable[[int, Task], Result], tasks: Sequence[Task], n_jobs: int) -> list[Result]:
    """Call a function on every task, `n_jobs` of them at a time.

    Parameters
    ----------
    function : callable
        Called with how many threads it may use, and a task.
    tasks : sequence
    n_jobs : int
        Threads in all.

    Returns
    -------
    list
        In the order of the tasks.
    """
    from joblib import Parallel, delayed

    # A last one that would run alone may use all threads.
    together = len(tasks) - (len(tasks) % n_jobs == 1)
    results: list[Result] = []
    if together:
        pool = Parallel(n_jobs=min(n_jobs, together), prefer="threads", batch_size=1)
        results += pool(delayed(function)(1, task) for task in tasks[:together])
    return results + [function(n_jobs, task) for task in tasks[together:]]
