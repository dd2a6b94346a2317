"""Measure wall time and peak memory of each stage on 20 thousand, 200 thousand and 2 million simulated rows.

With --growth, also how model_train grows with features in memory, on disk and on a cluster of this machine, as in
cluster.py: with few rounds of trees of a fixed depth, without a search, on a table of 20 columns.
"""

import json
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from external_memory import ENGINES, N_COLUMNS, prepare, train
from harness import (
    PROJECT,
    SOURCES,
    Numbers,
    alternate,
    arguments,
    clone_commit,
    in_child,
    median,
    show,
    spread,
    timed,
    write,
)

STAGES = ("prepare", "model_train")
ROUNDS = 25  # of boosting, for each engine
BASE_ROWS = 1000  # baseline: its peak memory is that of the imports


def main() -> None:
    """Run the benchmark and print the results."""
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 200_000, 2_000_000], help="table sizes")
    parser.add_argument("--growth", type=int, nargs="*", default=[], metavar="N", help="table sizes for each engine")
    options = parser.parse_args()
    sizes = [BASE_ROWS, *options.rows]
    runs: dict[int, list[Numbers]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as name:
        folders = {size: Path(name) / str(size) for size in sizes}
        for size, folder in folders.items():
            in_child(pipeline_folder, folder, size)  # keep this process small, as children start with its memory
        for number in range(options.repeats):
            for size, folder in folders.items():
                runs[size].append({key: value for stage in STAGES for key, value in run(folder, stage).items()})
                values = ", ".join(f"{key} {value:.4g}" for key, value in runs[size][-1].items())
                print(f"  {number + 1}/{options.repeats} {size:,} rows: {values}", file=sys.stderr, flush=True)
        matrix = {size: matrix_megabytes(folder) for size, folder in folders.items()}
    numbers = {f"matrix_{size}_mb": matrix[size] for size in options.rows}
    rows = []
    for stage in STAGES:
        base = median(runs[BASE_ROWS], f"{stage}_mb")
        previous: tuple[int, float] | None = None
        for size in options.rows:
            seconds, peak = median(runs[size], f"{stage}_seconds"), median(runs[size], f"{stage}_mb")
            exponent = math.log(seconds / previous[1]) / math.log(size / previous[0]) if previous else math.nan
            share = (peak - base) / matrix[size]
            rows.append([stage, f"{size:,}", seconds, spread(runs[size], f"{stage}_seconds"), exponent, peak, share])
            numbers |= {
                f"{stage}_{size}_seconds": seconds,
                f"{stage}_{size}_mb": peak,
                f"{stage}_{size}_matrices": share,
            }
            if previous:
                numbers[f"{stage}_{size}_exponent"] = exponent
            previous = size, seconds
    show(
        f"stages by number of rows; matrices: peak memory above that of {BASE_ROWS:,} rows, in training matrices",
        ["stage", "rows", "seconds", "min - max", "growth exponent", "peak MB", "matrices"],
        rows,
    )
    write(options.json, numbers | growth(options.growth, options.repeats))


def growth(sizes: list[int], repeats: int) -> Numbers:
    """Print how time and memory grow with the rows for each engine, and return the numbers."""
    results: dict[str, dict[int, list[Numbers]]] = {engine: {} for engine in ENGINES}
    for size in sizes:
        for engine, runs in engine_runs(size, repeats).items():
            results[engine][size] = runs
    numbers, rows = Numbers(), []
    for engine, by_size in results.items():
        for previous, size in zip([None, *sizes], sizes, strict=False):
            row: list[Any] = [engine, f"{size:,}"]
            for key in ("seconds", "mb"):
                value = numbers[f"{engine}_{size}_{key}"] = median(by_size[size], key)
                row.append(value)
                if previous:
                    factor = value / numbers[f"{engine}_{previous}_{key}"]
                    numbers[f"{engine}_{size}_{key}_exponent"] = math.log(factor) / math.log(size / previous)
                row.append(numbers.get(f"{engine}_{size}_{key}_exponent", ""))
            rows.append(row)
    if rows:
        header = ["engine", "rows", "seconds", "growth exponent", "peak MB of a process", "growth exponent"]
        show(f"model_train, {N_COLUMNS} columns, {ROUNDS} rounds, medians of {repeats}", header, rows)
    return numbers


def engine_runs(size: int, repeats: int) -> dict[str, list[Numbers]]:
    """Run model_train with each engine on a table of one size."""
    with tempfile.TemporaryDirectory() as name:
        clone = clone_commit("HEAD", Path(name) / "clone")
        prepare(clone, size)
        sides = {engine: lambda _, engine=engine: train(clone, ENGINES[engine], ROUNDS) for engine in ENGINES}
        return alternate(sides, repeats)


def pipeline_folder(folder: Path, n_rows: int) -> Numbers:
    """Create a pipeline folder with a Parquet table of simulated rows and the project's params.yaml."""
    from pipeline.datasets.simulated_housing import simulate

    folder.mkdir()
    simulate(n_rows, seed=0).table.to_parquet(folder / "housing.parquet", index=False)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["dataset"]["path"] = "housing.parquet"
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return {}


def run(folder: Path, stage: str) -> Numbers:
    """Run a stage as a process, and return its wall time and peak memory."""
    command = [sys.executable, str(SOURCES / f"{stage}.py")]
    numbers = timed(folder, command, os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlruns/mlflow.db"})
    return {f"{stage}_seconds": numbers["seconds"], f"{stage}_mb": numbers["mb"]}


def matrix_megabytes(folder: Path) -> float:
    """Return the size of the training features as float32, in MiB."""
    summary = json.loads((folder / "mlartifacts/training/experiments_summary.json").read_text())
    profile = json.loads((folder / "mlartifacts/prepare/data_profile.json").read_text())
    n_features = max(experiment["n_features"] for experiment in summary["experiments"])
    return 4 * int(profile["rows"]["train"]) * int(n_features) / 2**20


if __name__ == "__main__":
    main()
