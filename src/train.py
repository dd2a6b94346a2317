"""A quick look at a table: fit a model family on some of its rows, test it on the rest. Needs no DVC and no MLflow."""

import argparse
import sys
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    families = sorted(file.stem for file in (Path(__file__).parent / "pipeline/learn/families").glob("[!_]*.py"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, metavar="TABLE", help="CSV (plain or .gz) or Parquet file")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    parser.add_argument("--model", metavar="FAMILY", help=f"{' | '.join(families)} (random_forest)")
    parser.add_argument("--use-mlflow", action="store_true", help="record the run in the project's MLflow store")
    parser.add_argument("--experiment-name", default="quick-look", metavar="NAME", help="of MLflow (quick-look)")
    parser.add_argument("--test-size", type=float, default=0.3, metavar="SHARE", help="share of rows to test on (0.3)")
    parser.add_argument("--epochs", type=int, metavar="N", help="of a family that counts epochs; its default if absent")
    parser.add_argument("--batch-size", type=int, metavar="N", help="of a family that is fitted in batches")
    parser.add_argument("--learning-rate", type=float, metavar="X", help="of a family that has one")
    parser.add_argument("--output-path", type=Path, metavar="FOLDER", help="a new folder to write the model to")
    return parser


def main() -> None:
    """Parse the command line, fit and print the metrics."""
    arguments = build_parser().parse_args()
    from pipeline.learn.families import ranked_names
    from pipeline.quick_look.look import NO_MLFLOW, QuickLook, has_mlflow, look

    wanted = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "learning_rate")}
    recorded = arguments.use_mlflow and has_mlflow()
    if arguments.use_mlflow and not recorded:
        print(NO_MLFLOW, file=sys.stderr)
    request = QuickLook(
        table=arguments.table,
        target=arguments.target,
        models=[arguments.model or ranked_names()[0]],
        test_size=arguments.test_size,
        options={name: value for name, value in wanted.items() if value is not None},
        experiment_name=arguments.experiment_name if recorded else None,
    )
    print(look(request, arguments.output_path).summary)


if __name__ == "__main__":
    run_script(main)
