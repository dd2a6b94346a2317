"""Download a public table and write it where dataset.path can name it. Needs internet access."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["california"], help="the table: California housing, 1990 census")
    parser.add_argument("--output", type=Path, help="the CSV to write (default: data/raw/NAME.csv)")
    return parser


def main() -> None:
    """Parse the command line, download and write."""
    arguments = build_parser().parse_args()
    from pipeline.datasets.california import fetch_california
    from pipeline.support.files import replacing

    output = arguments.output or Path("data/raw") / f"{arguments.name}.csv"
    table = fetch_california()
    with replacing(output) as beside:
        table.to_csv(beside, index=False)
    print(f"{output}: {len(table):,} rows; use it with: dvc exp run -S dataset.path={output}")


if __name__ == "__main__":
    run_script(main)
