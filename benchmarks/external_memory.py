"""Compare model_train with features on disk and in memory, and run it on a larger table in limited memory.

Trees grow level by level to a fixed depth, so that a round reads the rows on disk once for each level. There are no
features of nearest neighbors.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from harness import Numbers, alternate, clone_commit, environment, in_child, median, show, timed
from machine import control_group, in_group
from parts import set_table, write_table

N_COLUMNS = 20
GIB = 2**30
LIMIT = 2 * GIB  # memory for the larger table
LIMITED_ROUNDS = 5  # of boosting, on the larger table
MEMORY = (  # control groups, versions 1 and 2
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", str(LIMIT)),
    ("/sys/fs/cgroup", "memory.max", str(LIMIT)),
)
TREES = {"max_depth": 6, "learning_rate": 0.3}
ENGINES: dict[str, dict[str, Any]] = {  # by name: settings of train
    "local": {"external_memory": False},
    "external": {"external_memory": True},
    "dask": {"engine": "dask", "shards": 2},
}
MODEL_INFO = Path("mlartifacts/training/best_model_info.json")
KEYS = ("seconds", "cpu", "mb")
TARGETS = {"mb": 0.35, "cpu": 1.6}


def compare(n_rows: int, rounds: int, repeats: int, limited_rows: int) -> dict[str, Any]:
    """Print the comparison, and return its numbers, whose names begin with ``external_`` or ``limited_``."""
    with tempfile.TemporaryDirectory() as name:
        clone = clone_commit("HEAD", Path(name) / "clone")
        prepare(clone, n_rows)
        hashes: set[str] = set()

        def run(engine: str) -> Numbers:
            numbers = train(clone, ENGINES[engine], rounds)
            hashes.add(json.loads((clone / MODEL_INFO).read_text())["model_sha256"])
            return numbers

        sides = {engine: lambda _, engine=engine: run(engine) for engine in ("local", "external")}
        results = alternate(sides, repeats)
        limited = limited_run(clone, limited_rows) if limited_rows else None
    numbers: dict[str, Any] = {f"{side}_{key}": median(results[side], key) for side in results for key in KEYS}
    ratios = {key: numbers[f"external_{key}"] / numbers[f"local_{key}"] for key in KEYS}
    numbers |= {f"external_{key}_ratio": ratio for key, ratio in ratios.items()}
    numbers["external_same_sha256"] = len(hashes) == 1
    rows = [[side, *(numbers[f"{side}_{key}"] for key in KEYS)] for side in results]
    rows += [["ratio", *ratios.values()], ["target", "", TARGETS["cpu"], TARGETS["mb"]]]
    title = f"model_train, {n_rows:,} rows x {N_COLUMNS} columns, {rounds} rounds, medians of {repeats}"
    show(title, ["features", "seconds", "CPU seconds", "peak MB"], rows)
    print(f"\nThe models are {'the same' if numbers['external_same_sha256'] else 'different'}.")
    if limited:
        numbers |= {f"limited_{key}": limited[key] for key in KEYS}
        minutes = f"{limited['seconds'] / 60:.0f} minutes"
        print(f"{limited_rows:,} rows, {LIMITED_ROUNDS} rounds, in {LIMIT / GIB:g} GiB of memory: {minutes}")
    return numbers


def prepare(clone: Path, n_rows: int) -> None:
    """Write a table and run stage prepare on it in a clone."""
    table = clone.parent / "housing.parquet"
    in_child(write_table, table, n_rows, N_COLUMNS)
    set_table(clone, table)
    timed(clone, [sys.executable, "src/prepare.py"], environment())
    table.unlink()


def train(clone: Path, settings: Mapping[str, Any], rounds: int, group: Path | None = None) -> Numbers:
    """Run stage model_train in a clone, with an empty store."""
    path = clone / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["features"] = {}
    search = {"max_rounds": rounds, "space": {"xgboost": {}}}
    for name in ("engine", "shards", "external_memory"):
        params["train"].pop(name, None)
    params["train"] |= {**settings, "params": {"xgboost": TREES}, "search": search}
    path.write_text(yaml.safe_dump(params))
    store = Path(tempfile.mkdtemp(prefix="store-", dir=clone.parent)) / "mlruns/mlflow.db"
    env = environment() | {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
    return timed(clone, in_group([sys.executable, "src/model_train.py"], group), env)


def limited_run(clone: Path, n_rows: int) -> Numbers | None:
    """Train on the larger table with features on disk, in a control group that limits the memory."""
    with control_group(MEMORY) as group:
        if group is None:
            print("the limited run is not measured: no control group can be created", file=sys.stderr)
            return None
        prepare(clone, n_rows)
        return train(clone, ENGINES["external"], LIMITED_ROUNDS, group)
