"""Stage 2: tune, fit and explain models on the prepared tables, and record each run in MLflow."""

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
    from pipeline.store.ui import how_to_view
    from pipeline.train.stage import train

    params = load_params()
    training = train(params, Path())
    winner = training.winner
    print(f"model_train: {winner.run_name} wins by {training.chosen_by}; its run is {winner.run_id}")
    print(f"model_train: to view it: {how_to_view(params.train.experiment_name)}")


if __name__ == "__main__":
    run_script(main)
