"""Retrain a registered version from its commit, parameters and data, and compare the results."""

import argparse
import sys
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", type=int, required=True, metavar="N", help="version of register.model_name")
    return parser


def main() -> None:
    """Parse the command line and retrain the version in a temporary clone."""
    arguments = build_parser().parse_args()
    from pipeline.params.load import load_params
    from pipeline.reproduce.reproduce import reproduce

    reproduction = reproduce(load_params().registry.model_name, arguments.version, Path())
    print(reproduction.report)
    sys.exit(not reproduction.is_identical)


if __name__ == "__main__":
    run_script(main)
