"""Measure fixed costs: an up-to-date `dvc repro`, a pipeline run on a tiny table, `--help` of every script.

Also the CPU time of `dvc repro` from nothing, in clones with an empty store, and relative to another commit.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml
from harness import (
    PROJECT,
    SOURCES,
    Numbers,
    alternate,
    arguments,
    clone_commit,
    environment,
    median,
    show,
    spread,
    timed,
    write,
)

ROWS, CANDIDATES = 150, 3
# The imports of prepare, model_train and model_register.
IMPORTS = (
    "pandas, pyarrow, pandera.pandas, sklearn.preprocessing, sklearn.model_selection",
    "pandas, pyarrow, sklearn.model_selection, xgboost, optuna, mlflow.xgboost, matplotlib.figure",
    "pandas, mlflow.xgboost, xgboost",
)
PIPELINES = {"iris": "examples/iris", "default": "."}  # folder of each pipeline, by the name of its figures
SCRIPTS = sorted(path.name for path in SOURCES.glob("*.py"))


def main() -> None:
    """Run the benchmark and print the results."""
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--against", metavar="COMMIT", help="also run the pipelines of this commit, in turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = small_repository(Path(name) / "repository")
        sides: dict[str, Callable[[int], Numbers]] = {
            "imports of dvc repro": lambda _: run(
                folder, sys.executable, "-c", "import dvc.cli, dvc.commands.repro, dvc.repo"
            ),
            "dvc repro, nothing changed": lambda _: run(folder, "dvc", "repro", "--quiet"),
            "imports of the stages": lambda _: total(
                [run(folder, sys.executable, "-c", f"import {names}") for names in IMPORTS]
            ),
            f"dvc repro --force, {ROWS} rows x {CANDIDATES} candidates": lambda _: run(
                folder, "dvc", "repro", "--force", "--quiet"
            ),
        }
        sides |= {
            f"{script} --help": lambda _, script=script: run(folder, sys.executable, str(SOURCES / script), "--help")
            for script in SCRIPTS
        }
        commits = ["HEAD", *([options.against] if options.against else [])]
        clones = {commit: clone_commit(commit, Path(name) / f"clone{number}") for number, commit in enumerate(commits)}
        sides |= {
            f"{pipeline} from nothing, {commit}": lambda _, commit=commit, path=path: from_nothing(clones[commit], path)
            for pipeline, path in PIPELINES.items()
            for commit in commits
        }
        results = alternate(sides, options.repeats)
    rows = [
        [name, median(runs, "seconds"), spread(runs, "seconds"), median(runs, "cpu")] for name, runs in results.items()
    ]
    show(f"medians of {options.repeats}", ["command", "seconds", "min - max", "CPU seconds"], rows)
    dvc_imports, up_to_date, stage_imports, tiny = (median(runs, "seconds") for runs in list(results.values())[:4])
    numbers = {
        "nothing_changed_seconds": up_to_date,
        "nothing_changed_ratio": up_to_date / dvc_imports,
        "tiny_seconds": tiny,
        "tiny_ratio": tiny / (stage_imports + up_to_date),
        "help_cpu_most": max(median(results[f"{script} --help"], "cpu") for script in SCRIPTS),
    }
    numbers |= {f"{pipeline}_cpu": median(results[f"{pipeline} from nothing, HEAD"], "cpu") for pipeline in PIPELINES}
    if options.against:
        numbers |= {
            f"{pipeline}_cpu_ratio": numbers[f"{pipeline}_cpu"]
            / median(results[f"{pipeline} from nothing, {options.against}"], "cpu")
            for pipeline in PIPELINES
        }
    ratios = [
        ["nothing changed, relative to the imports of dvc", numbers["nothing_changed_ratio"]],
        ["tiny table, relative to the imports of its stages plus an up-to-date dvc repro", numbers["tiny_ratio"]],
    ]
    ratios += [
        [f"CPU time of {pipeline} from nothing, relative to {options.against}", numbers[f"{pipeline}_cpu_ratio"]]
        for pipeline in (PIPELINES if options.against else ())
    ]
    show("ratios", ["comparison", "ratio"], ratios)
    write(options.json, numbers)


def small_repository(folder: Path) -> Path:
    """Create a git and DVC repository with the project's code and a tiny table, and run its pipeline once."""
    tracked = subprocess.run(["git", "ls-files"], cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    for name in tracked.splitlines():
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


def from_nothing(folder: Path, pipeline: str) -> Numbers:
    """Return the times of `dvc repro` of one pipeline of a clone without its earlier outputs, cache and store."""
    subprocess.run(["git", "clean", "-ffdxq"], cwd=folder, check=True)
    subprocess.run(["git", "checkout", "--quiet", "--", "."], cwd=folder, check=True)
    return run(folder / pipeline, "dvc", "repro", "--quiet")


def run(folder: Path, *command: str) -> Numbers:
    """Run a command and return its wall time and CPU time, including its children."""
    return timed(folder, command, environment())


def total(runs: list[Numbers]) -> Numbers:
    """Return the sum of each metric over the runs."""
    return {key: sum(run[key] for run in runs) for key in runs[0]}


if __name__ == "__main__":
    main()
