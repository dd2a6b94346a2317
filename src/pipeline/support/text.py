"""Format rows of text as aligned columns for a terminal."""

from collections.abc import Collection, Sequence


def align_columns(rows: Sequence[Sequence[str]], to_right: Collection[int] = ()) -> str:
    """Return one line per row, with columns aligned and two spaces apart.

    Parameters
    ----------
    rows : sequence of sequences of str, shape (n_rows, n_columns)
        At least one row.
    to_right : collection of int
        Indices of the right-aligned columns, such as those of numbers.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if index in to_right else text.ljust(width)
            for index, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a header, a rule and rows; all columns but the first are right-aligned.

    Examples
    --------
    >>> print(format_table(["metric", "value"], [["rmse", "31.7"], ["r2", "0.9"]]))
    metric  value
    ------  -----
    rmse     31.7
    r2        0.9
    """
    rule = ["-" * max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return align_columns([header, rule, *rows], to_right=range(1, len(header)))
