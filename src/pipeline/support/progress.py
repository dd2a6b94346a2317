"""Progress of long work, a line at a time: library code reports it, whoever runs that code shows it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_show: Callable[[str], None] | None = None


def progress(line: str) -> None:
    """Report a line of progress; it is shown only within `shown_by`."""
    if _show:
        _show(line)


@contextmanager
def shown_by(show: Callable[[str], None]) -> Iterator[None]:
    """Let `show` have the lines that are reported within the block, also from other threads."""
    global _show
    before, _show = _show, show
    try:
        yield
    finally:
        _show = before
