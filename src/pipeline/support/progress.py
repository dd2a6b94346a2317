"""Progress messages: library code reports lines, and its caller decides how to show them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_handler: Callable[[str], None] | None = None


def progress(line: str) -> None:
    """Report a line of progress; outside `shown_by` it is discarded."""
    if _handler:
        _handler(line)


@contextmanager
def progress_handler(handler: Callable[[str], None]) -> Iterator[None]:
    """Pass each line reported within the block, from any thread, to `handler`."""
    global _handler
    previous, _handler = _handler, handler
    try:
        yield
    finally:
        _handler = previous
