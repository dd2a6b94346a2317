"""Markdown tables whose cells hold any text."""

import re
from collections.abc import Iterable, Sequence

CODE_SPAN = re.compile(r"(`[^`]*`)")
SPECIAL = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "*": "&#42;"}


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table.

    Parameters
    ----------
    headings : sequence of str
    rows : iterable of sequence of str
        Cells in Markdown, one for each heading.

    Raises
    ------
    ValueError
        If a row has another number of cells.
    """
    lines = [headings, ["---"] * len(headings), *rows]
    for line in lines:
        if len(line) != len(headings):
            raise ValueError(f"a row has {len(line)} cells, and the table {len(headings)} columns: {line}")
    return "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |" for line in lines)


def code(text: object) -> str:
    """Return a text as a code span."""
    return f"`{text}`"


def prose(text: str | None) -> str:
    """Return a text as Markdown that shows it as it is; what stands between backticks stays code."""
    parts = CODE_SPAN.split(text or "")
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def anchored(text: str, anchor: str) -> str:
    """Return a code span that links can point to.

    Parameters
    ----------
    text : str
    anchor : str
        The part of the link after ``#``.
    """
    return f"{code(text)}{{ #{anchor} }}"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)
