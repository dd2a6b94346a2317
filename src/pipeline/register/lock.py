"""A lock for changes of the registry, because MLflow lets two processes register the same run twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.store.database import local_store
from pipeline.store.locks import REGISTRY
from pipeline.store.open import store_uri
from pipeline.support.paths import PROJECT, main_checkout_path
from pipeline.support.progress import progress


@contextmanager
def registry_lock() -> Iterator[None]:
    """Hold the registry lock of this machine, after waiting for its holder; a killed process releases it."""
    from filelock import FileLock, Timeout

    folder = _lock_folder()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / REGISTRY)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        progress("model_register: waiting for another process to finish changing the registry …")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock_folder() -> Path:
    """Return the folder of the lock: the folder of the database or, for a server, ``mlruns/`` of this repository."""
    store = local_store(store_uri())
    return store.home if store else main_checkout_path(PROJECT) / "mlruns"
