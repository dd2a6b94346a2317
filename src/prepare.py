"""Stage 1: validate and split the table at dataset.path of ./params.yaml."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def main() -> None:
    """Parse the command line and run the stage in the current folder."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    from pipeline.params.load import load_params
    from pipeline.prepare.stage import prepare

    print(prepare(load_params().dataset, Path()).summary)


if __name__ == "__main__":
    run_script(main)
