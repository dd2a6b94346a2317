"""Compute and format the sizes of files and folders."""

import os
from pathlib import Path


def size_of(path: Path) -> int:
    """Return the size of a file or folder in bytes; 0 if it does not exist."""
    return sum(_file_sizes(path))


def count_files(path: Path) -> int:
    """Return the number of files in a folder."""
    return len(_file_sizes(path))


def format_size(size: float) -> str:
    """Return a number of bytes in readable units, such as 1.5 MB.

    Examples
    --------
    >>> format_size(999), format_size(6_060_000)
    ('999 bytes', '6.06 MB')
    """
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.3g} GB" if size < 1000 else f"{size:,.0f} GB"


def _file_sizes(path: Path) -> list[int]:
    if path.is_file():
        return [path.stat().st_size]
    sizes = []
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                sizes.append(os.lstat(f"{folder}/{name}").st_size)
            except FileNotFoundError:  # removed since the folder was listed
                continue
    return sizes
