"""Compare the time of model_train with MLflow tracking and without."""

import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness import PROJECT, Numbers, alternate, arguments, in_child, median, show, spread, summary, write

MLFLOW_WRITES = (
    "start_run",
    "log_params",
    "log_param",
    "log_metrics",
    "log_dict",
    "log_artifact",
    "log_artifacts",
    "set_tags",
    "set_tag",
)


def main() -> None:
    """Run the comparison and print the results."""
    options = arguments(__doc__, repeats=5).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlruns/mlflow.db"  # inherited by the children
        in_child(prepare_folder, folder)
        sides = {
            "tracking off": lambda _: in_child(time_untracked, folder),
            "tracking on": lambda _: in_child(time_tracked, folder),
        }
        results = alternate(sides, options.repeats)
    off, on = results["tracking off"], results["tracking on"]
    without_models = [{"seconds": run["seconds"] - run["models"]} for run in on]
    ratios = [
        {"ratio": tracked["seconds"] / untracked["seconds"]}
        for tracked, untracked in zip(without_models, off, strict=True)
    ]
    numbers = (
        summary("off_seconds", off, "seconds")
        | summary("on_seconds", on, "seconds")
        | summary("without_models_seconds", without_models, "seconds")
        | summary("logged_models_seconds", on, "models")
        | summary("ratio_without_models", ratios, "ratio")
    )
    rows = [
        [name, median(runs, "seconds"), spread(runs, "seconds")]
        for name, runs in (*results.items(), ("tracking on, without logging the three models", without_models))
    ]
    show(f"model_train on the default table, medians of {options.repeats}", ["side", "seconds", "min - max"], rows)
    show(
        "ratios",
        ["comparison", "ratio"],
        [["tracking on without logging the three models, relative to off", numbers["ratio_without_models"]]],
    )
    write(options.json, numbers)


def prepare_folder(folder: Path) -> Numbers:
    """Prepare the default table below `folder`, and create the store, which happens only once in a repository."""
    from pipeline.params.load import load_params
    from pipeline.prepare.stage import prepare
    from pipeline.store.open import open_store

    table = folder / "data/raw/housing.csv"
    table.parent.mkdir(parents=True)
    shutil.copy(PROJECT / "data/raw/housing.csv", table)
    prepare(load_params(PROJECT / "params.yaml").dataset, folder)
    open_store()
    return {}


def time_tracked(folder: Path) -> Numbers:
    """Return the time of the stage, and how much of it MLflow takes to log the three models."""
    import mlflow.xgboost

    from pipeline.store.open import open_store

    open_store()
    spent, log_model = [], mlflow.xgboost.log_model

    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return log_model(*args, **kwargs)
        finally:
            spent.append(time.perf_counter() - started)

    with patch("mlflow.xgboost.log_model", timed):
        seconds = timed_training(folder)
    assert len(spent) == 3, spent
    return {"seconds": seconds, "models": sum(spent)}


def time_untracked(folder: Path) -> Numbers:
    """Return the time of the stage with all writes to MLflow replaced by mocks."""
    import mlflow.xgboost

    with ExitStack() as stack:
        for name in MLFLOW_WRITES:
            stack.enter_context(patch.object(mlflow, name))
        stack.enter_context(patch.object(mlflow.xgboost, "autolog"))
        for name in ("open_store", "end_stale_runs", "open_experiment"):
            stack.enter_context(patch(f"pipeline.train.experiments.{name}"))
        collect_provenance = stack.enter_context(patch("pipeline.train.experiments.collect_provenance"))
        collect_provenance.return_value.profile = {"sha256": {"raw": "none"}}
        of_model = {"logged_model_id": "none", "add_raw_rows_view": {"model_sha256": "none"}}
        for name, value in of_model.items():
            stack.enter_context(patch(f"pipeline.train.experiments.{name}", return_value=value))
        mlflow.start_run.return_value.__enter__.return_value.info.run_id = "none"  # type: ignore[attr-defined]
        return {"seconds": timed_training(folder)}


def timed_training(folder: Path) -> float:
    """Return the wall time of the model_train stage, without imports."""
    import matplotlib.figure  # noqa: F401
    import optuna  # noqa: F401
    import xgboost  # noqa: F401

    from pipeline.params.load import load_params
    from pipeline.train.stage import train

    params = load_params(PROJECT / "params.yaml")
    started = time.perf_counter()
    train(params, folder)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
