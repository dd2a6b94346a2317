"""Run all benchmarks in turn on an idle machine, and write README.md from their results.

The results are kept in results.json, so that single benchmarks can run again. The page is written only if all results
but those of tables.py are of the same code.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import PROJECT, environment
from machine import MAX_BUSY, sample_load, wait_until_idle
from results_page import FOLDER, render

from pipeline.support.gpu import gpu_description

BASELINES = {"busy": "632ad26", "fixed_cost": "21d3c55", "parts": "0fc3eaa"}  # commit that --against compares with
BENCHMARKS = {  # by name of the script, in order: its arguments
    "busy": ["--against", BASELINES["busy"]],
    "search": ["--data", "{data}"],
    "tracking": [],
    "fixed_cost": ["--against", BASELINES["fixed_cost"]],
    "scale": ["--growth", "200000", "2000000", "20000000"],
    "parts": ["--against", BASELINES["parts"]],
    "cluster": [],
    "accuracy": ["--data", "{data}"],
    "families": [],
    "gpu": [],
    "serving": ["--repository", "{repository}"],
    "soak": ["--repository", "{repository}"],
    "tables": ["--tables", "{tables}"],
    "small_tables": ["--tables", "{tables}", "--max-rows", "5000", "--seeds", "5"],
}
SCRIPTS = {"small_tables": "tables"}  # name of the script where it differs
NAMES = list(BENCHMARKS)
RESULTS, TEMPLATE, PAGE = FOLDER / "results.json", FOLDER / "README.template.md", FOLDER / "README.md"
CODE = ("src", "benchmarks", "params.yaml", "requirements.lock")  # what determines the figures
UNRELATED = ("benchmarks/README.md", "benchmarks/results.json", "data/raw/california.csv")


def main() -> None:
    """Run the benchmarks and write results.json after each, and the page at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        nargs="*",
        choices=NAMES,
        default=NAMES,
        metavar="NAME",
        help="scripts to run (all); none: write the page",
    )
    default = PROJECT / "data/raw/california.csv"
    parser.add_argument(
        "--data",
        type=Path,
        default=default,
        metavar="CSV",
        help=f"California housing table ({default.relative_to(PROJECT)})",
    )
    parser.add_argument(
        "--tables", type=Path, metavar="FOLDER", help="tables that the project has not seen; without, they are left out"
    )
    options = parser.parse_args()
    if any("{data}" in BENCHMARKS[name] for name in options.only) and not options.data.exists():
        raise SystemExit(
            f"error: there is no {options.data}\n  -> python src/fetch_dataset.py california, or --data CSV"
        )
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(options.only, 1):
            if name == "gpu" and not gpu_description():
                progress("gpu: skipped, nvidia-smi lists no GPU")
                continue
            if "{tables}" in BENCHMARKS[name] and not options.tables:
                progress(f"{name}: skipped, there is no --tables FOLDER")
                continue
            progress(f"{number}/{len(options.only)} {name}")
            results[name] = run(name, options.data, options.tables, Path(folder))
            ordered = {each: results[each] for each in NAMES if each in results}
            RESULTS.write_text(json.dumps(ordered, indent=1) + "\n")
            progress(f"{name} took {results[name]['seconds']:.0f} s")
    PAGE.write_text(render(results, NAMES, TEMPLATE.read_text(), BASELINES))
    progress(f"wrote {PAGE.relative_to(PROJECT)}")


def progress(text: str) -> None:
    """Print a line with the time."""
    print(f"[{datetime.now():%H:%M:%S}] {text}", file=sys.stderr, flush=True)


def run(name: str, data: Path, tables: Path | None, folder: Path) -> dict[str, Any]:
    """Run one benchmark while the machine is idle, and return its numbers and circumstances."""
    commit = clean_commit(PROJECT)
    paths = {"data": data.resolve(), "tables": tables and tables.resolve(), "repository": folder / "repository"}
    arguments = [each.format(**paths) for each in BENCHMARKS[name]]
    if "--repository" in arguments and not (folder / "repository").exists():
        make_repository(folder / "repository")
    output = folder / f"{name}.json"
    before, load_before = wait_until_idle(), os.getloadavg()
    started, date = time.perf_counter(), f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    command = [sys.executable, str(FOLDER / f"{SCRIPTS.get(name, name)}.py"), *arguments, "--json", str(output)]
    status = subprocess.run(command, cwd=PROJECT, env=environment()).returncode
    if status:
        raise SystemExit(f"error: {name}.py ended with exit code {status}\n  -> see its output above")
    seconds, load_after = time.perf_counter() - started, os.getloadavg()
    after, programs = sample_load()
    if after > MAX_BUSY:
        progress(f"other programs use {after:.2g} processors: {'; '.join(programs)}; run {name} again")
    if clean_commit(PROJECT) != commit:
        raise SystemExit(f"error: another commit was checked out while {name}.py ran\n  -> run it again")
    numbers = json.loads(output.read_text())
    machine, versions = numbers.pop("machine"), numbers.pop("versions")
    return {
        "commit": commit,
        "code": code_hash(PROJECT, commit),
        "date": date,
        "seconds": round(seconds),
        "machine": ", ".join([machine, *([gpu["name"]] if (gpu := gpu_description()) else [])]),
        "versions": versions,
        "load_average_before": load_before,
        "load_average_after": load_after,
        "other_processors_before": before,
        "other_processors_after": after,
        "numbers": numbers,
    }


def make_repository(folder: Path) -> None:
    """Clone the project, run its pipeline there, and promote the model to Production."""
    progress("making a repository with a version in Production, to serve")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(folder)], check=True)
    for command in (["dvc", "repro", "--quiet"], [sys.executable, "src/model_register.py", "--stage", "Production"]):
        subprocess.run(command, cwd=folder, env=environment() | {"PATH": path}, check=True)


def clean_commit(repository: Path) -> str:
    """Return the checked-out commit; raise SystemExit if files differ from it, except those that no benchmark reads."""
    paths = [".", *(f":(exclude){path}" for path in UNRELATED)]
    if changes := git(repository, "status", "--porcelain", "--", *paths):
        names = ", ".join(line[3:] for line in changes.splitlines())
        raise SystemExit(f"error: figures must be of a commit, but these files have changes: {names}\n  -> commit them")
    return git(repository, "rev-parse", "HEAD")


def code_hash(repository: Path, commit: str) -> str:
    """Return a hash of what determines the figures of a commit: sources, scripts, parameters and packages."""
    lines = git(repository, "ls-tree", "-r", commit, "--", *CODE).splitlines()
    scripts = [line for line in lines if "\tbenchmarks/" not in line or line.endswith(".py")]
    return hashlib.sha256("\n".join(scripts).encode()).hexdigest()


def git(repository: Path, *arguments: str) -> str:
    """Return the output of a git command."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout.rstrip()


if __name__ == "__main__":
    main()
