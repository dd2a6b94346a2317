"""Stage 1: validate and split the table at dataset.path of ./params.yaml."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    return argparse.ArgumentParser(description=__doc__)


def main() -> None:
    """Parse the command line and run the stage in the current folder."""
    build_parser().parse_args()
    from pipeline.params.load import load_params
    from pipeline.prepare.stage import prepare

    print(prepare(load_params().dataset, Path()).summary)


if __name__ == "__main__":
    run_script(main)
