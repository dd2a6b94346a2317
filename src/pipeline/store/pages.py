"""MLflow's searches answer in pages."""

from collections.abc import Callable
from typing import Any


def pages(search: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """Return all that a search finds, page by page."""
    found: list[Any] = []
    token = None
    while True:
        page = search(*arguments, **options, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
