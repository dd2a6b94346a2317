"""Check the column names of a file."""

from pathlib import Path

from pipeline.errors import TableError
from pipeline.support.section import short_repr

MAX_NAME_LENGTH = 500


def check_names(names: list[str], path: Path) -> None:
    """Raise TableError unless every column has a name of its own, which is not too long."""
    unnamed = [str(number) for number, name in enumerate(names, start=1) if not name.strip()]
    if unnamed:
        raise TableError(
            f"{path} has no name for column {', '.join(unnamed)}",
            "name it in the header, or remove it (an unnamed first column is often a row number)",
        )
    for name in names:
        if len(name) > MAX_NAME_LENGTH or "\0" in name:
            reason = f"has {len(name):,} characters, more than {MAX_NAME_LENGTH}"
            reason = reason if len(name) > MAX_NAME_LENGTH else "contains a NUL character"
            raise TableError(f"{path} has a column whose name {reason}: {short_repr(name)}", "rename or remove it")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        numbers = [str(number) for number, name in enumerate(names, start=1) if name == repeated[0]]
        raise TableError(
            f"{path} has more than one column named {repeated[0]!r} (columns {', '.join(numbers)})",
            "rename or remove all but one of them",
        )
