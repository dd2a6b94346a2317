"""Compare model families on a table, record each in the project's MLflow store, and print the metrics."""

import argparse
import sys
from pathlib import Path

from pipeline.cli import run_script


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, metavar="TABLE", help="CSV (plain or .gz) or Parquet file")
    parser.add_argument("--target", metavar="COLUMN", help="the column to predict")
    parser.add_argument("--models", nargs="+", metavar="FAMILY", help="model families to compare (default: all)")
    parser.add_argument(
        "--experiment-name", default="quick-look", metavar="NAME", help="MLflow experiment (default: quick-look)"
    )
    parser.add_argument(
        "--test-size", type=float, default=0.3, metavar="SHARE", help="share of the rows to test on (default: 0.3)"
    )
    parser.add_argument(
        "--ui", action="store_true", help="open the MLflow UI of the project's store; works without --dataset too"
    )
    return parser


def main() -> None:
    """Parse the command line, compare the families, and open the MLflow UI if requested."""
    parser = build_parser()
    arguments = parser.parse_args()
    if not arguments.dataset and not arguments.ui:
        parser.error("give a table with --dataset, or open the MLflow UI with --ui")
    if arguments.dataset and not arguments.target:
        parser.error("give the column to predict with --target")
    from pipeline.learn.families import ranked_names
    from pipeline.quick_look.run import NO_MLFLOW, QuickLookRequest, has_mlflow, run_quick_look
    from pipeline.store.ui import open_ui

    if arguments.dataset:
        if not has_mlflow():
            print(NO_MLFLOW, file=sys.stderr)
        request = QuickLookRequest(
            table=arguments.dataset,
            target=arguments.target,
            models=arguments.models or ranked_names(),
            test_size=arguments.test_size,
            options={},
            experiment_name=arguments.experiment_name if has_mlflow() else None,
        )
        print(run_quick_look(request).summary)
    if arguments.ui:
        open_ui()


if __name__ == "__main__":
    run_script(main)
