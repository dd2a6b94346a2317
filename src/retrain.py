"""Train anew on the recorded predictions whose labels are known, and promote the winner if the gate lets it pass."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--if-drifted", action="store_true", help="do nothing unless the newest predictions of Production show drift"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="CSV or Parquet file with prediction_id and the target's column; data/labels.csv when absent",
    )
    return parser


def main() -> None:
    """Parse the command line and retrain in the current folder."""
    arguments = build_parser().parse_args()
    from pipeline.params.load import load_params
    from pipeline.retrain.retrain import retrain

    retrain(load_params(), Path(), arguments.labels, arguments.if_drifted)


if __name__ == "__main__":
    run_script(main)
