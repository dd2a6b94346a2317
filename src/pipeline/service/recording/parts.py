"""The files of recorded predictions: whose each is, which version's rows it has, and which others it covers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pipeline.support.processes import is_owner_gone

NAME = re.compile(r"v(\d+)\.(\d+)-(\d+)\.(.+)\.parquet")


@dataclass(frozen=True)
class Part:
    """One file, ``vVERSION.FIRST-LAST.SESSION.parquet``: a session's parts FIRST to LAST of what a version answered.

    Attributes
    ----------
    folder : Path
    session : str
        ``HOST~PID~STARTED~DRAWN``: the process, and a random text that tells apart several sessions of one process.
    version : int
        Of the registered model.
    first, last : int
        Numbers of the session's parts of this version, from 0; they differ in a file into which several were merged.
    """

    folder: Path
    session: str
    version: int
    first: int
    last: int

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Read a file's name; None of a file that is no part."""
        found = NAME.fullmatch(path.name)
        if found is None:
            return None
        version, first, last, session = found.groups()
        return cls(path.parent, session, int(version), int(first), int(last))

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder / f"v{self.version:03}.{self.first:08}-{self.last:08}.{self.session}.parquet"

    @property
    def is_left(self) -> bool:
        """Whether the process that wrote it has ended."""
        return is_owner_gone(self.session.rpartition("~")[0])

    def to(self, other: "Part") -> "Part":
        """Return what this and all following parts up to `other` are merged into."""
        return replace(self, last=other.last)


def parts_in(folder: Path) -> list[Part]:
    """Return the parts in a folder, sorted; none where there is no folder."""
    found = [part for path in folder.glob("v*.parquet") if (part := Part.of(path)) is not None]
    return sorted(found, key=lambda part: (part.version, part.session, part.first, -part.last))


def without_covered(parts: Iterable[Part]) -> list[Part]:
    """Return those of sorted `parts` whose rows no other one has.

    Between the moment when a merged file appears and that when the files it was made of are gone, or for good where a
    kill came between them, rows stand in two files.
    """
    kept: list[Part] = []
    for part in parts:
        before = kept[-1] if kept else None
        if (
            before is None
            or (before.session, before.version) != (part.session, part.version)
            or part.last > before.last
        ):
            kept.append(part)
    return kept
