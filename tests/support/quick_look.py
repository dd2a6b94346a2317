"""A table for quick looks, and a parser of their output."""

from support.repositories import ROOT

IRIS = ROOT / "examples/iris/data/raw/iris.csv"


def printed_numbers(printed: str, column: int = 1) -> dict[str, float]:
    """Return one column of a printed table as numbers, keyed by the first column."""
    rows = [line.replace(",", "").split() for line in printed.splitlines()]
    return {row[0]: float(row[column]) for row in rows if len(row) > column and row[column][:1].isdigit()}
