"""One process at a time changes a registry: MLflow keeps no two from registering one run twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.store.database import local_store
from pipeline.store.locks import REGISTRY
from pipeline.store.open import store_uri
from pipeline.support.paths import PROJECT, checkout_of
from pipeline.support.progress import progress


@contextmanager
def registry_lock() -> Iterator[None]:
    """Wait until no other process of this machine changes the registry; the lock of a killed one is free."""
    from filelock import FileLock, Timeout

    place = _place()
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / REGISTRY)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        progress("model_register: waiting for another process that changes the registry …")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _place() -> Path:
    """Return the folder of the lock: the database's; of a server, this repository's ``mlruns/``."""
    store = local_store(store_uri())
    return store.home if store else checkout_of(PROJECT) / "mlruns"
