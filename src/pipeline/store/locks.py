"""Who changes a whole store is alone with it."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.store.database import PATIENCE

CARE, REGISTRY, CREATION = "store.lock", "registry.lock", "mlflow.lock"
WHO = {
    CARE: "another src/store.py is at work on",
    REGISTRY: "a registration is at work on",
    CREATION: "another process is creating",
}


@contextmanager
def held(home: Path, *names: str) -> Iterator[None]:
    """Hold locks of a store; those of a killed process are free.

    Raises
    ------
    StoreError
        When another process holds one of them.
    """
    from filelock import FileLock, Timeout

    with ExitStack() as stack:
        for name in names:
            if not os.access(home, os.W_OK):
                raise StoreError(f"{home} cannot be written", "make it writable, and mount its disk writable")
            try:
                stack.enter_context(FileLock(home / name, timeout=PATIENCE))
            except Timeout:
                raise StoreError(
                    f"{WHO[name]} the store {home}", "wait until it is done, then run the command again"
                ) from None
        yield
