"""What has to be paid whatever the data: a `dvc repro` with nothing to do, a tiny table, the help of every script."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml
from harness import PROJECT, SOURCES, Numbers, alternate, arguments, median, show, spread, write

ROWS, CANDIDATES = 150, 3
# By stage: prepare reads and checks tables, model_train needs nearly all, model_register the store and the model.
IMPORTS = (
    "pandas, pyarrow, pandera.pandas, sklearn.preprocessing, sklearn.model_selection",
    "pandas, pyarrow, sklearn.model_selection, xgboost, optuna, mlflow.xgboost, shap, matplotlib.figure",
    "pandas, mlflow.xgboost, xgboost",
)
SCRIPTS = sorted(path.name for path in SOURCES.glob("*.py"))


def main() -> None:
    """Compare and print."""
    options = arguments(__doc__, repeats=5).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = small_repository(Path(name) / "repository")
        sides: dict[str, Callable[[int], Numbers]] = {
            "imports of dvc repro": lambda _: timed(
                folder, sys.executable, "-c", "import dvc.cli, dvc.commands.repro, dvc.repo"
            ),
            "dvc repro, nothing changed": lambda _: timed(folder, "dvc", "repro", "--quiet"),
            "imports of the stages": lambda _: total(
                [timed(folder, sys.executable, "-c", f"import {names}") for names in IMPORTS]
            ),
            f"dvc repro --force, {ROWS} rows x {CANDIDATES} candidates": lambda _: timed(
                folder, "dvc", "repro", "--force", "--quiet"
            ),
        }
        sides |= {
            f"{script} --help": lambda _, script=script: timed(folder, sys.executable, str(SOURCES / script), "--help")
            for script in SCRIPTS
        }
        results = alternate(sides, options.repeats)
    rows = [
        [name, median(runs, "seconds"), spread(runs, "seconds"), median(runs, "cpu")] for name, runs in results.items()
    ]
    show(f"medians of {options.repeats}", ["what", "seconds", "least - most", "CPU seconds"], rows)
    bare, nothing, imports, tiny = (median(runs, "seconds") for runs in list(results.values())[:4])
    numbers = {
        "nothing_changed_seconds": nothing,
        "nothing_changed_ratio": nothing / bare,
        "tiny_seconds": tiny,
        "tiny_ratio": tiny / (imports + nothing),
        "help_cpu_most": max(median(results[f"{script} --help"], "cpu") for script in SCRIPTS),
    }
    ratios = [
        ["nothing changed, over the imports of dvc", numbers["nothing_changed_ratio"]],
        ["tiny table, over the imports of its stages and a dvc repro with nothing to do", numbers["tiny_ratio"]],
    ]
    show("ratios", ["what", "ratio"], ratios)
    write(options.json, numbers)


def small_repository(folder: Path) -> Path:
    """Make a git and DVC repository with the project's code and a table of few rows, and run it once."""
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        if name.startswith(
            ("src/", ".dvc", "dvc.yaml", "params.yaml", "pyproject.toml", "uv.lock", "requirements.txt", ".gitignore")
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    from pipeline.datasets.simulated_housing import simulate

    (folder / "data/raw").mkdir(parents=True, exist_ok=True)
    simulate(ROWS).table.to_csv(folder / "data/raw/housing.csv", index=False)
    params = yaml.safe_load((PROJECT / "params.yaml").read_text())
    params["train"]["search"]["n_candidates"] = CANDIDATES
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    for command in (["git", "init", "--quiet"], ["git", "add", "--all"], ["dvc", "repro", "--quiet"]):
        subprocess.run(command, cwd=folder, check=True, env=environment(), stdout=subprocess.DEVNULL)
    return folder


def timed(folder: Path, *command: str) -> Numbers:
    """Run a command and return its wall time, and its CPU time with that of its children."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, env=environment())
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed in {folder}: {' '.join(command)}")
    return {"seconds": time.perf_counter() - started, "cpu": usage.ru_utime + usage.ru_stime}


def total(runs: list[Numbers]) -> Numbers:
    """Return the sums of numbers measured one after the other."""
    return {key: sum(run[key] for run in runs) for key in runs[0]}


def environment() -> dict[str, str]:
    """Return this process's environment without what would lead to another store."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DVC_"))}


if __name__ == "__main__":
    main()
