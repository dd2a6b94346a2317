"""Measure model_train with features on disk relative to features in memory, and on a larger table in limited memory.

Trees grow level by level to a fixed depth, so that a round reads the rows on disk once for each level. There are no
features of nearest neighbors.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from harness import Numbers, alternate, arguments, clone_commit, environment, in_child, median, show, timed, write
from machine import control_group, in_group
from parts import set_table, write_table

N_COLUMNS = 20
GIB = 2**30
LIMIT = 2 * GIB  # memory for the larger table
MEMORY = (  # control groups, versions 1 and 2
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", str(LIMIT)),
    ("/sys/fs/cgroup", "memory.max", str(LIMIT)),
)
TREES = {"max_depth": 6, "learning_rate": 0.3}
SIDES = {"in_memory": False, "on_disk": True}  # by name: train.external_memory
MODEL_INFO = Path("mlartifacts/training/best_model_info.json")
KEYS = ("seconds", "cpu", "mb")
TARGETS = {"mb_ratio": 0.35, "cpu_ratio": 1.6}


def main() -> None:
    """Run the benchmark and print the results."""
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--rows", type=int, default=10_000_000, metavar="N", help="rows of the table for both sides")
    parser.add_argument("--rounds", type=int, default=25, metavar="N", help="boosting rounds")
    parser.add_argument(
        "--limited-rows",
        type=int,
        default=40_000_000,
        metavar="N",
        help="rows of the table in 2 GiB of memory; 0: none",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clone = clone_commit("HEAD", Path(name) / "clone")
        prepare(clone, options.rows)
        hashes: set[str] = set()

        def run(on_disk: bool) -> Numbers:
            numbers = train(clone, options, on_disk)
            hashes.add(json.loads((clone / MODEL_INFO).read_text())["model_sha256"])
            return numbers

        sides = {side: lambda _, on_disk=on_disk: run(on_disk) for side, on_disk in SIDES.items()}
        results = alternate(sides, options.repeats)
        limited = limited_run(clone, options) if options.limited_rows else None
    numbers: dict[str, Any] = {f"{side}_{key}": median(results[side], key) for side in SIDES for key in KEYS}
    numbers |= {f"{key}_ratio": numbers[f"on_disk_{key}"] / numbers[f"in_memory_{key}"] for key in KEYS}
    numbers["same_sha256"] = len(hashes) == 1
    rows = [[side, *(numbers[f"{side}_{key}"] for key in KEYS)] for side in SIDES]
    rows += [["ratio", *(numbers[f"{key}_ratio"] for key in KEYS)]]
    rows += [["target", "", TARGETS["cpu_ratio"], TARGETS["mb_ratio"]]]
    title = f"model_train, {options.rows:,} rows x {N_COLUMNS} columns, medians of {options.repeats}"
    show(title, ["features", "seconds", "CPU seconds", "peak MB"], rows)
    print(f"\nThe models are {'the same' if numbers['same_sha256'] else 'different'}.")
    if limited:
        numbers |= {f"limited_{key}": limited[key] for key in KEYS}
        print(f"{options.limited_rows:,} rows in {LIMIT / GIB:g} GiB: {limited['seconds'] / 60:.0f} minutes")
    write(options.json, numbers)


def prepare(clone: Path, n_rows: int) -> None:
    """Write a table and run stage prepare on it in a clone."""
    table = clone.parent / "housing.parquet"
    in_child(write_table, table, n_rows, N_COLUMNS)
    set_table(clone, table)
    timed(clone, [sys.executable, "src/prepare.py"], environment())
    table.unlink()


def train(clone: Path, options: argparse.Namespace, on_disk: bool, group: Path | None = None) -> Numbers:
    """Run stage model_train in a clone, with an empty store."""
    path = clone / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["features"] = {}
    search = {"max_rounds": options.rounds, "space": {"xgboost": {}}}
    params["train"] |= {"external_memory": on_disk, "params": {"xgboost": TREES}, "search": search}
    path.write_text(yaml.safe_dump(params))
    store = Path(tempfile.mkdtemp(prefix="store-", dir=clone.parent)) / "mlruns/mlflow.db"
    env = environment() | {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
    return timed(clone, in_group([sys.executable, "src/model_train.py"], group), env)


def limited_run(clone: Path, options: argparse.Namespace) -> Numbers | None:
    """Train on the larger table with features on disk, in a control group that limits the memory."""
    with control_group(MEMORY) as group:
        if group is None:
            print("the limited run is not measured: no control group can be created", file=sys.stderr)
            return None
        prepare(clone, options.limited_rows)
        return train(clone, options, on_disk=True, group=group)


if __name__ == "__main__":
    main()
