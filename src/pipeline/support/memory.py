"""Collect garbage less often during imports, return unused memory, and find how much is free."""

import ctypes
import gc
from pathlib import Path

USUAL_THRESHOLDS = gc.get_threshold()
# Limit and use of the memory of this process's container, in bytes: of control groups version 2 and 1.
CGROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
IMPORT_THRESHOLD = 50_000  # Python's default of 700 new objects spends a fifth of the time of importing packages


def collect_garbage_rarely() -> None:
    """Collect garbage less often than Python's default, for a program that imports large packages.

    XGBoost's data iterators and other reference cycles may hold whole tables, so a training or a service calls
    `collect_garbage_as_usual` when it starts.
    """
    gc.set_threshold(IMPORT_THRESHOLD)


def collect_garbage_as_usual() -> None:
    """Undo `collect_garbage_rarely`, if it was called, and no longer scan the objects of the imported packages."""
    if gc.get_threshold()[0] == IMPORT_THRESHOLD:
        gc.collect(0)
        gc.freeze()
        gc.set_threshold(*USUAL_THRESHOLDS)


def release_memory() -> None:
    """Return freed memory to the operating system, which Arrow and the C library would otherwise cache.

    On tables of millions of rows, this is hundreds of megabytes.
    """
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    c_library = ctypes.CDLL(None)
    if hasattr(c_library, "malloc_trim"):  # glibc only
        c_library.malloc_trim(0)


def available_memory() -> int:
    """Return how many bytes of memory this process may still use, by the machine and the limit of its container."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in CGROUP_FILES:
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such control group, or "max": no limit
            continue
    return max(free, 0)
