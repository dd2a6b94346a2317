"""Locks for operations on the whole store."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.database import LOCK_TIMEOUT

MAINTENANCE, REGISTRY, CREATION = "store.lock", "registry.lock", "mlflow.lock"
HOLDERS = {
    MAINTENANCE: "another src/store.py is running on",
    REGISTRY: "a registration is running on",
    CREATION: "another process is creating",
}


@contextmanager
def hold_locks(home: Path, *names: str) -> Iterator[None]:
    """Hold locks of a store; a process that is killed releases its locks.

    Raises
    ------
    StoreError
        If another process holds one of the locks, or the store is read-only.
    """
    from filelock import FileLock, Timeout

    with ExitStack() as stack:
        for name in names:
            if not os.access(home, os.W_OK):
                raise StoreError(f"{home} cannot be written", "make the folder writable, or remount its disk writable")
            try:
                stack.enter_context(FileLock(home / name, timeout=LOCK_TIMEOUT))
            except Timeout:
                raise StoreError(
                    f"{HOLDERS[name]} the store {home}", "wait until it is done, then run the command again"
                ) from None
        yield
