"""Shared parts of the benchmarks: arguments, alternating runs in child processes, statistics and output."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import distributions
from multiprocessing import get_context
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
SOURCES = PROJECT / "src"
sys.path.insert(0, str(SOURCES))  # for this process and for the children, which import this module
import pipeline  # noqa: E402, F401 (both sides of a comparison wait in the same way for other threads)

PACKAGES = ("xgboost", "scikit-learn", "optuna", "mlflow", "dvc", "pandas", "numpy", "flaml", "lightgbm", "catboost")
Numbers = dict[str, float]


def arguments(description: str, repeats: int, data: bool = False) -> argparse.ArgumentParser:
    """Return the parser of a benchmark's command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats, metavar="N", help="number of runs of each side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to this file")
    if data:
        parser.add_argument(
            "--data",
            type=Path,
            default=PROJECT / "data/raw/california.csv",
            metavar="CSV",
            help="California housing table; download it with src/fetch_dataset.py california",
        )
    return parser


def in_child(function: Callable[..., Numbers], *args: Any) -> Numbers:
    """Call a module-level function in a new process, so that no side inherits the caches and threads of another."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def alternate(sides: Mapping[str, Callable[[int], Numbers]], repeats: int) -> dict[str, list[Numbers]]:
    """Run all sides in turn, `repeats` times; each is called with the number of the repetition, from 0."""
    results: dict[str, list[Numbers]] = {name: [] for name in sides}
    for number in range(repeats):
        for name, side in sides.items():
            results[name].append(side(number))
            values = ", ".join(f"{key} {value:.5g}" for key, value in results[name][-1].items())
            print(f"  {number + 1}/{repeats} {name}: {values}", file=sys.stderr, flush=True)
    return results


def environment() -> dict[str, str]:
    """Return the environment of a user: without settings of OpenMP's threads and of other stores."""
    excluded = ("OMP_", "GOMP_", "MLFLOW_", "DVC_")
    return {name: value for name, value in os.environ.items() if not name.startswith(excluded)}


def clone_commit(commit: str, folder: Path) -> Path:
    """Clone this repository, with the files of one commit; changes that are not committed are not measured."""
    for command in (
        ["git", "clone", "--quiet", "--no-checkout", str(PROJECT), str(folder)],
        ["git", "-C", str(folder), "checkout", "--quiet", "--detach", revision(commit)],
    ):
        subprocess.run(command, check=True)
    return folder


def revision(commit: str) -> str:
    """Return the full ID of a commit of this repository."""
    command = ["git", "rev-parse", "--verify", f"{commit}^{{commit}}"]
    return subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.strip()


def timed(folder: Path, command: Sequence[str], variables: Mapping[str, str]) -> Numbers:
    """Run a command in a folder, with these environment variables.

    Returns
    -------
    dict
        Wall time ``seconds``, and of the command with its children: CPU time ``cpu``, in seconds, and the peak memory
        of the largest process, ``mb``, in MiB.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.DEVNULL)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"failed in {folder}: {' '.join(command)}")
    return {"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "mb": usage.ru_maxrss / 1024}


def median(runs: Iterable[Numbers], key: str) -> float:
    """Return the median of one metric over the runs."""
    return statistics.median(run[key] for run in runs)


def mean(runs: Iterable[Numbers], key: str) -> float:
    """Return the mean of one metric over the runs."""
    return statistics.fmean(run[key] for run in runs)


def spread(runs: Iterable[Numbers], key: str) -> str:
    """Return the minimum and maximum of one metric over the runs, as a string."""
    values = [run[key] for run in runs]
    return f"{min(values):.4g} - {max(values):.4g}"


def summary(name: str, runs: Iterable[Numbers], key: str) -> Numbers:
    """Return median, minimum and maximum of one metric over the runs, named `name`, `name`_min and `name`_max."""
    values = [run[key] for run in runs]
    return {name: statistics.median(values), f"{name}_min": min(values), f"{name}_max": max(values)}


def learner_of(
    params: Any, space: dict[str, Any], seed: int, n_jobs: int, folds: Iterable[Any], device: str = "cpu"
) -> Any:
    """Return the XGBoost learner that an experiment would use on these folds of a regression."""
    from sklearn.preprocessing import StandardScaler

    from pipeline.learn.boosting import Boosting
    from pipeline.learn.learner import Problem
    from pipeline.learn.task import Task

    return Boosting(Problem(Task(), {}, space, params, seed, n_jobs, StandardScaler(), folds, device))


def tuned(learner: Any, seed: int) -> tuple[dict[str, Any], Any]:
    """Search as an experiment does, without tracking; return the best parameters and their cross-validation scores."""
    from pipeline.learn.search import search

    candidates = list(search(learner.problem.search, learner, seed, lambda _: None))
    winner = min((each for each in candidates if not each.dropped), key=lambda candidate: candidate.mean)
    sampled, rounds = learner.final_params(winner)
    return sampled, learner.cross_validate(sampled, rounds, choose_round=True)


def show(title: str, header: list[str], rows: list[list[Any]]) -> None:
    """Print a table."""
    from pipeline.support.text import format_table

    cells = [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    print(f"\n{title}\n{format_table(header, cells)}")


def write(path: Path | None, numbers: Numbers) -> None:
    """Print the machine and package versions, and write them with the results to `path` as flat JSON."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    installed = {each.name.lower(): each.version for each in distributions()}
    versions = ", ".join(f"{name} {installed[name]}" for name in PACKAGES if name in installed)
    print(f"\n{machine}; {versions}")
    if path:
        path.write_text(json.dumps({**numbers, "machine": machine, "versions": versions}, indent=1) + "\n")
