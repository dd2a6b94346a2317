"""Sizes of files, and as text."""

import os
from pathlib import Path


def size_of(place: Path) -> int:
    """Return the bytes in a file or folder; 0 when it is not there."""
    return sum(size for size, _ in _files(place))


def count_files(place: Path) -> int:
    """Return how many files there are in a folder."""
    return len(_files(place))


def in_words(size: float) -> str:
    """Return a number of bytes as a person reads it: 1.5 MB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.3g} GB" if size < 1000 else f"{size:,.0f} GB"


def _files(place: Path) -> list[tuple[int, str]]:
    if place.is_file():
        return [(place.stat().st_size, place.name)]
    found = []
    for folder, _, names in os.walk(place):
        for name in names:
            try:
                found.append((os.lstat(f"{folder}/{name}").st_size, name))
            except FileNotFoundError:  # removed meanwhile
                continue
    return found
