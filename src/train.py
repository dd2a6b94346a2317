"""Train a quick baseline on a table: fit a model family and test it on held-out rows; needs neither DVC nor MLflow."""

import argparse
import sys
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    families = sorted(file.stem for file in (Path(__file__).parent / "pipeline/learn/families").glob("[!_]*.py"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "table",
        type=Path,
        metavar="TABLE",
        help="CSV (plain or .gz) or Parquet file, a folder or a pattern of such files",
    )
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    parser.add_argument("--model", metavar="FAMILY", help=f"{' | '.join(families)} (default: random_forest)")
    parser.add_argument("--use-mlflow", action="store_true", help="record the run in the project's MLflow store")
    parser.add_argument(
        "--experiment-name", default="quick-look", metavar="NAME", help="MLflow experiment (default: quick-look)"
    )
    parser.add_argument(
        "--test-size", type=float, default=0.3, metavar="SHARE", help="share of the rows to test on (default: 0.3)"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="number of epochs, for families that support it")
    parser.add_argument("--batch-size", type=int, metavar="N", help="batch size, for families that support it")
    parser.add_argument("--learning-rate", type=float, metavar="X", help="learning rate, for families that support it")
    parser.add_argument("--output-path", type=Path, metavar="FOLDER", help="new folder to write the model to")
    return parser


def main() -> None:
    """Parse the command line, fit and print the metrics."""
    arguments = build_parser().parse_args()
    from pipeline.learn.families import ranked_names
    from pipeline.quick_look.run import NO_MLFLOW, QuickLookRequest, has_mlflow, run_quick_look

    options = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "learning_rate")}
    is_recorded = arguments.use_mlflow and has_mlflow()
    if arguments.use_mlflow and not is_recorded:
        print(NO_MLFLOW, file=sys.stderr)
    request = QuickLookRequest(
        table=arguments.table,
        target=arguments.target,
        models=[arguments.model or ranked_names()[0]],
        test_size=arguments.test_size,
        options={name: value for name, value in options.items() if value is not None},
        experiment_name=arguments.experiment_name if is_recorded else None,
    )
    print(run_quick_look(request, arguments.output_path).summary)


if __name__ == "__main__":
    run_script(main)
