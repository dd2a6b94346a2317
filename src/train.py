"""A quick look at a table: fit a model family on some of its rows, test it on the rest. Needs no DVC and no MLflow."""

import argparse
from pathlib import Path

from pipeline.cli import run_script


def main() -> None:
    """Parse the command line, fit and print the metrics."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path, metavar="TABLE", help="CSV (plain or .gz) or Parquet file")
    parser.add_argument("--target", required=True, metavar="COLUMN", help="the column to predict")
    parser.add_argument("--model", default="random_forest", metavar="FAMILY", help="random_forest | xgboost | nn")
    parser.add_argument("--use-mlflow", action="store_true", help="record the run in the project's MLflow store")
    parser.add_argument("--experiment-name", default="quick-look", metavar="NAME", help="of MLflow (quick-look)")
    parser.add_argument("--test-size", type=float, default=0.3, metavar="SHARE", help="share of rows to test on (0.3)")
    parser.add_argument("--epochs", type=int, metavar="N", help="of nn; the best of 100 when absent")
    parser.add_argument("--batch-size", type=int, metavar="N", help="of nn")
    parser.add_argument("--learning-rate", type=float, metavar="X", help="of nn or xgboost")
    parser.add_argument("--output-path", type=Path, metavar="FOLDER", help="a new folder to write the model to")
    arguments = parser.parse_args()
    from pipeline.quick_look.look import Request, look

    options = {name: getattr(arguments, name) for name in ("epochs", "batch_size", "learning_rate")}
    request = Request(
        table=arguments.table,
        target=arguments.target,
        models=[arguments.model],
        test_size=arguments.test_size,
        options={name: value for name, value in options.items() if value is not None},
        experiment_name=arguments.experiment_name if arguments.use_mlflow else None,
    )
    look(request, arguments.output_path)


if __name__ == "__main__":
    run_script(main)
