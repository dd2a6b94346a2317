"""Download a public table and write it as a CSV file. Needs internet access."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["california"], help="table to download: California housing, 1990 census")
    parser.add_argument("--output", type=Path, help="CSV file to write (default: data/raw/NAME.csv)")
    return parser


def main() -> None:
    """Parse the command line, then download and write the table."""
    arguments = build_parser().parse_args()
    from pipeline.datasets.california import fetch_california
    from pipeline.support.files import atomic_write

    output = arguments.output or Path("data/raw") / f"{arguments.name}.csv"
    table = fetch_california()
    with atomic_write(output) as temporary:
        table.to_csv(temporary, index=False)
    print(f"{output}: {len(table):,} rows; use it with: dvc exp run -S dataset.path={output}")


if __name__ == "__main__":
    run_script(main)
