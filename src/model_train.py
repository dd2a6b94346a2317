"""Stage 2: search, fit and explain models on the prepared tables; MLflow records every run."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def main() -> None:
    """Parse the command line and run the stage in the current folder."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    from pipeline.params.load import load_params
    from pipeline.train.stage import train

    train(load_params(), Path())


if __name__ == "__main__":
    run_script(main)
