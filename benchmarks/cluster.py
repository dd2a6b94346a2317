"""Measure trainings past the memory and past one machine.

Features on disk relative to features in memory, by model_train; and the final fit of XGBoost on shards, on two Dask
workers of this machine, relative to a fit in one process. Also: whether repeated fits, and fits on swapped workers,
give the same model, and how the time grows with the number of shards when there are many on one machine.
"""

import hashlib
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from external_memory import compare
from harness import Numbers, alternate, arguments, in_child, median, show, write

from pipeline.support.cluster import Cluster, connected
from pipeline.train.feature_rows import RowsOnDisk
from pipeline.train.shards import train_on_shards

N_COLUMNS = 20
FILE_ROWS = 400_000
TEST_ROWS = 100_000
N_WORKERS = 2
MANY = [2, 8, 32, 64, 128]  # with 256 on one machine, there are too many open files
SEED = 7
PARAMS = {"tree_method": "hist", "objective": "reg:squarederror", "max_depth": 6, "learning_rate": 0.3, "seed": SEED}
KEYS = ("seconds", "cpu", "mb", "rmse")
TARGETS = {"seconds": 1.0, "cpu": 1.6, "mb": 0.55, "rmse": 1.005}


def main() -> None:
    """Run the benchmark and print the results."""
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--external-rows", type=int, default=10_000_000, metavar="N", help="rows for features on disk")
    parser.add_argument("--limited-rows", type=int, default=40_000_000, metavar="N", help="rows in 2 GiB; 0: none")
    parser.add_argument("--rows", type=int, default=2_000_000, metavar="N", help="training rows for shards")
    parser.add_argument("--rounds", type=int, default=25, metavar="N", help="boosting rounds")
    parser.add_argument("--many", type=int, nargs="*", default=MANY, metavar="N", help="numbers of shards")
    parser.add_argument("--many-rows", type=int, default=200_000, metavar="N", help="training rows of many shards")
    options = parser.parse_args()
    numbers = compare(options.external_rows, options.rounds, options.repeats, options.limited_rows)
    with tempfile.TemporaryDirectory() as name:
        folders = {rows: Path(name) / str(rows) for rows in {options.rows, options.many_rows}}
        for rows, folder in folders.items():
            in_child(write_rows, folder, rows)
        hashes: set[str] = set()
        sides = {
            "local": lambda _: in_child(fit_in_memory, folders[options.rows], options.rounds),
            "dask": lambda _: on_cluster(folders[options.rows], options.rounds, hashes),
            "dask_swapped": lambda _: on_cluster(folders[options.rows], options.rounds, hashes, Swapped),
        }
        results = alternate(sides, options.repeats)
        many = {n: in_child(fit_many, folders[options.many_rows], n) for n in options.many}
    numbers |= {
        f"shards_{side}_{key}": median(results[side], key)
        for side in ("local", "dask")
        for key in ("seconds", "cpu", "mb", "rmse")
    }
    numbers |= {f"shards_{key}_ratio": numbers[f"shards_dask_{key}"] / numbers[f"shards_local_{key}"] for key in KEYS}
    numbers["shards_same_sha256"] = len(hashes) == 1
    numbers |= {f"many_{n}_seconds": result["seconds"] for n, result in many.items()}
    rows = [[side, *(numbers[f"shards_{side}_{key}"] for key in KEYS)] for side in ("local", "dask")]
    rows.append(["ratio", *(numbers[f"shards_{key}_ratio"] for key in KEYS)])
    rows.append(["target", *(TARGETS[key] for key in KEYS)])
    title = f"{options.rounds} rounds on {options.rows:,} rows x {N_COLUMNS} features, medians of {options.repeats}"
    show(title, ["side", "seconds", "CPU seconds", "peak MB of a process", "test RMSE"], rows)
    print(f"\nThe models of all fits on workers are {'the same' if numbers['shards_same_sha256'] else 'different'}.")
    title = f"10 rounds on {options.many_rows:,} rows, all shards on this machine"
    show(title, ["shards", "seconds"], [[n, result["seconds"]] for n, result in many.items()])
    write(options.json, numbers)


class Swapped(Cluster):
    """A cluster whose workers get each other's shards."""

    def alive(self) -> dict[str, int]:
        """Return the workers in reverse order."""
        return dict(reversed(super().alive().items()))


def write_rows(folder: Path, n_rows: int) -> Numbers:
    """Write features and targets of simulated training rows, and of test rows."""
    folder.mkdir()
    rng = np.random.default_rng(SEED)
    targets = []
    for name, rows in {**{str(n): FILE_ROWS for n in range(-(-n_rows // FILE_ROWS))}, "test": TEST_ROWS}.items():
        rows = min(rows, n_rows - FILE_ROWS * int(name)) if name != "test" else rows
        X = rng.standard_normal((N_COLUMNS, rows), dtype=np.float32)
        y = X[0] * X[1] + np.sin(2 * X[2]) + (X[3] > X[4]) + X[5:9].sum(axis=0) / 4 + 0.5 * rng.standard_normal(rows)
        np.save(folder / f"{name}.npy", X)
        if name == "test":
            np.save(folder / "test_target.npy", y)
        else:
            targets.append(y)
    np.save(folder / "target.npy", np.concatenate(targets))
    return {}


def rows_in(folder: Path) -> RowsOnDisk:
    """Return the training rows of a folder."""
    names = [f"x{number}" for number in range(N_COLUMNS)]
    n_rows = len(np.load(folder / "target.npy", mmap_mode="r"))
    starts = np.array([*range(0, n_rows, FILE_ROWS), n_rows])
    return RowsOnDisk(
        [folder / f"{n}.npy" for n in range(len(starts) - 1)], starts, names, names, folder / "target.npy"
    )


def test_rmse(folder: Path, booster: Any) -> float:
    """Return the RMSE of a booster on the test rows."""
    from xgboost import DMatrix

    rows = RowsOnDisk([folder / "test.npy"], np.array([0, TEST_ROWS]), rows_in(folder).stored, rows_in(folder).columns)
    y_pred = booster.predict(DMatrix(next(rows.batches())))
    return float(np.sqrt(np.mean(np.square(y_pred - np.load(folder / "test_target.npy")))))


def fit_in_memory(folder: Path, rounds: int) -> Numbers:
    """Fit in one process with as many threads as there are workers, with all features in memory."""
    import pandas as pd
    import xgboost

    rows = rows_in(folder)
    matrix = np.empty((len(rows), N_COLUMNS), dtype=np.float32, order="F")
    for start, end, batch in zip(rows.starts[:-1], rows.starts[1:], rows.batches(), strict=True):
        matrix[start:end] = batch.to_numpy()
    X, y = pd.DataFrame(matrix, columns=rows.columns, copy=False), np.load(folder / "target.npy")
    started, cpu = time.perf_counter(), time.process_time()
    data = xgboost.QuantileDMatrix(X, y, nthread=N_WORKERS)
    booster = xgboost.train({**PARAMS, "nthread": N_WORKERS}, data, rounds)
    numbers = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu, "mb": peak_mb()}
    return {**numbers, "rmse": test_rmse(folder, booster)}


def on_cluster(folder: Path, rounds: int, hashes: set[str], kind: Callable[..., Cluster] = Cluster) -> Numbers:
    """Fit a shard on each of two workers with one thread; add the SHA-256 of the model to `hashes`."""
    with connected(folder) as started:
        cluster = kind(started.client, started.folder)
        cluster.client.run(import_packages)  # as the other side has, and workers that have computed features
        before = cluster.client.run(time.process_time)
        began = time.perf_counter()
        booster = train_on_shards(cluster, rows_in(folder), PARAMS, rounds, N_WORKERS)
        seconds = time.perf_counter() - began
        after, peaks = cluster.client.run(time.process_time), cluster.client.run(peak_mb)
    hashes.add(hashlib.sha256(booster.save_raw("ubj")).hexdigest())
    cpu = sum(after[address] - before[address] for address in after)
    return {"seconds": seconds, "cpu": cpu, "mb": max(peaks.values()), "rmse": test_rmse(folder, booster)}


def fit_many(folder: Path, n_shards: int) -> Numbers:
    """Fit ten rounds on many shards, at most 32 on each worker: each shard has a connection to every other."""
    from distributed import Client, LocalCluster

    n_workers = max(N_WORKERS, n_shards // 32)
    options = {
        "threads_per_worker": 1,
        "memory_limit": 0,
        "dashboard_address": "127.0.0.1:0",
        "local_directory": folder,
    }
    with LocalCluster(n_workers, **options) as workers, Client(workers) as client:
        cluster = Cluster(client, folder)
        started = time.perf_counter()
        train_on_shards(cluster, rows_in(folder), PARAMS, 10, n_shards)
        return {"seconds": time.perf_counter() - started}


def import_packages() -> None:
    """Import what a fit needs."""
    import pandas  # noqa: F401
    import xgboost.collective  # noqa: F401


def peak_mb() -> float:
    """Return the peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
