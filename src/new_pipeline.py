"""Create a pipeline folder for a table: params.yaml is inferred from its columns, and dvc.yaml has the stages."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "table",
        type=Path,
        metavar="TABLE",
        help="CSV (plain or .gz) or Parquet file, a folder or a pattern of such files",
    )
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help="folder to create in this repository (default: the table's name)"
    )
    parser.add_argument(
        "--task",
        choices=("regression", "classification"),
        help="kind of prediction (default: inferred from the target)",
    )
    parser.add_argument(
        "--report", action="store_true", help="also write table_report.html, a page that summarizes the table"
    )
    return parser


def main() -> None:
    """Parse the command line and create the folder."""
    arguments = build_parser().parse_args()
    from pipeline.scaffold.new_pipeline import new_pipeline

    created = new_pipeline(arguments.table, arguments.target, arguments.into, arguments.task, arguments.report)
    print(created.summary)


if __name__ == "__main__":
    run_script(main)
