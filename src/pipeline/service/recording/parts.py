"""Name the files of recorded predictions by model version, part numbers and session."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pipeline.support.processes import is_owner_gone

NAME = re.compile(r"v(\d+)\.(\d+)-(\d+)\.(.+)\.parquet")


@dataclass(frozen=True)
class Part:
    """A file ``vVERSION.FIRST-LAST.SESSION.parquet`` with the parts FIRST to LAST of a session and a model version.

    Attributes
    ----------
    folder : Path
    session : str
        ``HOST~PID~STARTED~RANDOM``: the process, and a random suffix, as a process may have several sessions.
    version : int
        The model version whose predictions it holds.
    first, last : int
        Part numbers within the session and version, from 0. They differ if the file was merged from several parts.
    """

    folder: Path
    session: str
    version: int
    first: int
    last: int

    @classmethod
    def parse(cls, path: Path) -> Self | None:
        """Parse a file name; return None if the file is not a part."""
        match = NAME.fullmatch(path.name)
        if match is None:
            return None
        version, first, last, session = match.groups()
        return cls(path.parent, session, int(version), int(first), int(last))

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self.folder / f"v{self.version:03}.{self.first:08}-{self.last:08}.{self.session}.parquet"

    @property
    def is_orphaned(self) -> bool:
        """Whether the process that wrote it has ended."""
        return is_owner_gone(self.session.rpartition("~")[0])

    def merged_with(self, other: "Part") -> "Part":
        """Return the file into which this part and all following ones up to `other` are merged."""
        return replace(self, last=other.last)


def parts_in(folder: Path) -> list[Part]:
    """Return the parts in a folder, sorted; an empty list if the folder does not exist."""
    parts = [part for path in folder.glob("v*.parquet") if (part := Part.parse(path)) is not None]
    return sorted(parts, key=lambda part: (part.version, part.session, part.first, -part.last))


def without_covered(parts: Iterable[Part]) -> list[Part]:
    """Return the `parts`, which must be sorted, without those that a merged file contains.

    Rows are in two files from the moment that a merged file appears until its source files are removed. If the process
    is killed in between, they stay in both.
    """
    kept: list[Part] = []
    for part in parts:
        previous = kept[-1] if kept else None
        if (
            previous is None
            or (previous.session, previous.version) != (part.session, part.version)
            or part.last > previous.last
        ):
            kept.append(part)
    return kept
