"""A table to look at, and what is printed of it."""

from support.repositories import ROOT

IRIS = ROOT / "examples/iris/data/raw/iris.csv"


def numbers_of(printed: str, column: int = 1) -> dict[str, float]:
    """Return the numbers of a printed table's column by their names."""
    rows = [line.replace(",", "").split() for line in printed.splitlines()]
    return {row[0]: float(row[column]) for row in rows if len(row) > column and row[column][:1].isdigit()}
