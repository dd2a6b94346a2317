"""Rows of texts as aligned columns, for people who read a terminal."""

from collections.abc import Collection, Sequence


def aligned(rows: Sequence[Sequence[str]], to_right: Collection[int] = ()) -> str:
    """Return a line for each row, its columns two spaces apart.

    Parameters
    ----------
    rows : sequence of sequences of str
        Each of the same length; at least one.
    to_right : collection of int
        The places of the columns that are aligned to the right, as numbers are.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if place in to_right else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def ruled(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows below a header and a rule, all columns but the first aligned to the right."""
    rule = ["-" * max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return aligned([header, rule, *rows], to_right=range(1, len(header)))
