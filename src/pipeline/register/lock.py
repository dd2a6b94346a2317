"""One process at a time changes a registry: MLflow keeps no two from registering one run twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.paths import checkout_of
from pipeline.store.locks import REGISTRY
from pipeline.tracking import SQLITE, store_uri


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
        print("model_register: waiting for another process that changes the registry …", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _place() -> Path:
    """Return the folder of the lock: the database's; of a server, this repository's ``mlruns/``."""
    uri = store_uri()
    if uri.startswith(SQLITE):
        return Path(uri.removeprefix(SQLITE)).parent
    return checkout_of(Path(__file__).parents[3]) / "mlruns"
