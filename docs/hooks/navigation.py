"""Navigation entries that stand for all pages of a folder."""

from collections.abc import Iterable
from typing import Any


def with_folders(nav: list[Any], pages: Iterable[str]) -> list[Any]:
    """Return a navigation in which each entry that ends with ``/`` is replaced by the pages of that folder.

    Parameters
    ----------
    nav : list
        ``nav`` of mkdocs.yml.
    pages : iterable of str
        The paths of all pages below docs/.

    Returns
    -------
    list
        Pages of a folder that have an entry of their own are only there; the others are in the order of their names.

    Raises
    ------
    ValueError
        If a folder has no pages.
    """
    expanded: list[Any] = _expanded(nav, sorted(pages), set(_entries(nav)))
    return expanded


def _expanded(entry: Any, pages: list[str], named: set[str]) -> Any:
    if isinstance(entry, dict):
        return {title: _expanded(value, pages, named) for title, value in entry.items()}
    if not isinstance(entry, list):
        return entry
    expanded: list[Any] = []
    for item in entry:
        if isinstance(item, str) and item.endswith("/"):
            found = [page for page in pages if page.startswith(item) and "/" not in page.removeprefix(item)]
            if not found:
                raise ValueError(f"nav of mkdocs.yml names docs/{item}, which has no pages")
            expanded += [page for page in found if page not in named]
        else:
            expanded.append(_expanded(item, pages, named))
    return expanded


def _entries(entry: Any) -> Iterable[str]:
    """Yield the paths that a navigation names."""
    if isinstance(entry, str):
        yield entry
    elif isinstance(entry, list | dict):
        for item in entry.values() if isinstance(entry, dict) else entry:
            yield from _entries(item)
