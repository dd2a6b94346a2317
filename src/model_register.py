"""Stage 3: register a run's model, give it a stage, and export it when the stage is Production."""

import argparse
from pathlib import Path

from pipeline.errors import run_script

STAGES = ("None", "Staging", "Production", "Archived")


def main() -> None:
    """Parse the command line and register in the current folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stage", choices=STAGES, help="the stage to give; register.stage of params.yaml when absent")
    parser.add_argument("--run-id", metavar="ID", help="the MLflow run to register; the winner of training when absent")
    arguments = parser.parse_args()
    from pipeline.params_file import load_params
    from pipeline.register.stage import register

    register(load_params().registry, Path(), arguments.stage, arguments.run_id)


if __name__ == "__main__":
    run_script(main)
