"""Compare this project on tables it has not seen, without any edit of params.yaml, with other libraries.

Each table goes through new_pipeline.py, prepare.py and model_train.py as users call them. The other libraries get the
same training and test rows. The loss is the test RMSE or the test log loss; that of the project is the winner's.
A table that a script of this project refuses counts as lost, and is not in the geometric means.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, geometric_mean
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import yaml
from harness import Numbers, clone_commit, environment, in_child, show, write
from table_peers import PEERS, TEST, TRAIN, last_line, peer_drop

METRICS = Path("mlartifacts/training/best_metrics.json")
FIRST_SEED = 42
MAX_CATEGORIES = 100_000  # the greatest limit that params.yaml accepts
DEFAULT_PEERS = list(PEERS)


class RefusedError(Exception):
    """A script of this project ends with an error."""


@dataclass
class Result:
    """Losses and seconds of one table by name: ``project`` or that of a peer; means over the seeds."""

    rows: int = 0
    task: str = ""
    losses: Numbers = field(default_factory=dict)
    seconds: Numbers = field(default_factory=dict)
    refused: str = ""

    @property
    def ratios(self) -> Numbers:
        """The project's loss over that of each peer, and over the ``best`` one."""
        peers = {name: value for name, value in self.losses.items() if name != "project"}
        if peers and not self.refused:
            peers["best"] = min(peers.values())
        return {name: self.losses["project"] / value for name, value in peers.items() if not self.refused}


def main() -> None:
    """Run the comparison and print the results, and write them after each table."""
    options = build_parser().parse_args()
    lines = (options.tables / "tables.jsonl").read_text().splitlines()
    tables = {plain_name(each["file"]): each for each in map(json.loads, lines)}
    if unknown := sorted(set(options.only or []) - set(tables)):
        raise SystemExit(f"error: {options.tables} has no {', '.join(unknown)}\n  -> choose from {', '.join(tables)}")
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory() as name:
        clone = clone_commit("HEAD", Path(name) / "clone")
        for table in options.only or tables:
            path = options.tables.resolve() / tables[table]["file"]
            if options.max_rows and len(pd.read_csv(path, usecols=[0])) > options.max_rows:
                continue
            results[table] = compare(clone, path, tables[table]["target"], options.peers, options.seeds, options.full)
            if options.json:
                options.json.write_text(json.dumps(numbers_of(results, options.peers), indent=1) + "\n")
    report(results, options.peers)
    write(options.json, numbers_of(results, options.peers))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tables",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="CSV files, and tables.jsonl with the file and target of each",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of files without .csv (all)")
    parser.add_argument("--max-rows", type=int, metavar="N", help="leave out larger tables")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=DEFAULT_PEERS, help="libraries to compare (all)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="splits and random seeds of each table (1)")
    parser.add_argument("--full", action="store_true", help="run dvc repro instead of prepare.py and model_train.py")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to this file")
    return parser


def plain_name(file: str) -> str:
    """Return the name of a file without its suffixes."""
    return re.sub(r"\.(csv|csv\.gz)$", "", file)


def compare(clone: Path, path: Path, target: str, peers: list[str], seeds: int, full: bool) -> Result:
    """Run the project and the peers on one table; a peer that fails for a seed is left out."""
    name, failed = plain_name(path.name), set[str]()
    losses: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {}
    result = Result()
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        folder = clone / f"tables/{name}-{seed}"
        try:
            metrics, budget = run_project(clone, folder, path, target, seed, full)
        except RefusedError as error:
            reason = str(error).replace(f"{path.parent}/", "")  # results are committed
            progress(f"{name}: refused: {reason}")
            return Result(refused=reason)
        result.rows = sum(pq.read_metadata(folder / part).num_rows for part in (TRAIN, TEST))
        result.task = "classification" if "log_loss" in metrics else "regression"
        loss = metrics["log_loss" if "log_loss" in metrics else "test_rmse"]
        progress(f"{name}, seed {seed}: project {loss:.5g}, {budget:.0f} s")
        losses.setdefault("project", []).append(loss)
        seconds.setdefault("project", []).append(budget)
        rows = peers_folder(clone, folder)
        for peer in peers:
            try:
                numbers = in_child(PEERS[peer], rows, seed, budget)
            except Exception as error:  # whatever a library raises
                progress(f"{name}, seed {seed}: {peer} failed: {last_line(str(error)) or type(error).__name__}")
                failed.add(peer)
                continue
            progress(f"{name}, seed {seed}: {peer} {numbers['loss']:.5g}, {numbers['seconds']:.0f} s")
            losses.setdefault(peer, []).append(numbers["loss"])
            seconds.setdefault(peer, []).append(numbers["seconds"])
        shutil.rmtree(folder)
    result.losses = {side: fmean(values) for side, values in losses.items() if side not in failed}
    result.seconds = {side: fmean(values) for side, values in seconds.items() if side not in failed}
    return result


def run_project(
    clone: Path, folder: Path, path: Path, target: str, seed: int, full: bool
) -> tuple[dict[str, float], float]:
    """Create a pipeline folder, change nothing but its seeds, and train; return the metrics and model_train's seconds.

    Raises
    ------
    RefusedError
        With the first line of the error.
    """
    sources = clone / "src"
    into = str(folder.relative_to(clone))
    script(clone, sys.executable, "src/new_pipeline.py", str(path), "--target", target, "--into", into)
    params = folder / "params.yaml"
    params.write_text(re.sub(rf"^( +seed: ){FIRST_SEED}$", rf"\g<1>{seed}", params.read_text(), flags=re.MULTILINE))
    if full:
        seconds = script(folder, "dvc", "repro", "--quiet")
    else:
        script(folder, sys.executable, str(sources / "prepare.py"))
        seconds = script(folder, sys.executable, str(sources / "model_train.py"))
    return json.loads((folder / METRICS).read_text()), seconds


def script(folder: Path, *command: str) -> float:
    """Run a script of the project in a folder, and return its seconds; raise RefusedError if it fails."""
    started = time.perf_counter()
    ended = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    if ended.returncode:
        errors = [line for line in ended.stderr.splitlines() if line.lower().startswith("error")]
        name = Path(command[1]).name
        raise RefusedError(f"{name}: {errors[0] if errors else last_line(ended.stderr)}")
    return time.perf_counter() - started


def peers_folder(clone: Path, folder: Path) -> Path:
    """Return a folder with the same rows prepared with the peers' columns, which `peer_drop` defines."""
    text = (folder / "params.yaml").read_text()
    params = yaml.safe_load(text)
    drop = peer_drop(text)
    if drop == params["dataset"]["drop"]:
        return folder
    params["dataset"] |= {"drop": drop, "max_categories": MAX_CATEGORIES}
    peers = folder / "peers"
    peers.mkdir()
    (peers / "params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True))
    try:
        script(peers, sys.executable, str(clone / "src/prepare.py"))
    except RefusedError as error:
        progress(f"peers get the columns of the pipeline only: {error}")
        return folder
    for part in (TRAIN, TEST):
        rows = pd.read_parquet(folder / part)
        pd.testing.assert_frame_equal(pd.read_parquet(peers / part)[list(rows)], rows)
    return peers


def progress(text: str) -> None:
    """Print a line on standard error."""
    print(f"  {text}", file=sys.stderr, flush=True)


def numbers_of(results: dict[str, Result], peers: list[str]) -> dict[str, Any]:
    """Return the results as flat numbers; the shares count refused tables as lost, the ratios leave them out."""
    numbers: dict[str, Any] = {"tables": len(results)}
    numbers["refused"] = sum(bool(result.refused) for result in results.values())
    for side in ("best", *peers):
        ratios = [result.ratios[side] for result in results.values() if side in result.ratios]
        if ratios:
            won = sum(ratio <= 1 for ratio in ratios) / (len(ratios) + numbers["refused"])
            share = "share_won" if side == "best" else f"share_won_{side}"
            numbers |= {f"ratio_{side}": geometric_mean(ratios), share: won}
    for side in ("project", *peers):
        numbers[f"seconds_{side}"] = sum(result.seconds.get(side, 0) for result in results.values())
    for name, result in results.items():
        if result.refused:
            numbers[f"{name}_refused"] = result.refused
            continue
        numbers |= {f"{name}_rows": result.rows, f"{name}_task": result.task}
        numbers |= {f"{name}_{side}": loss for side, loss in result.losses.items()}
        numbers |= {f"{name}_seconds": result.seconds["project"]}
        if result.ratios:
            numbers |= {f"{name}_best": result.losses["project"] / result.ratios["best"]}
            numbers |= {f"{name}_ratio": result.ratios["best"]}
    return numbers


def report(results: dict[str, Result], peers: list[str]) -> None:
    """Print the results of each table, the means, and what was refused."""
    trained = {name: result for name, result in results.items() if not result.refused}
    rows = [
        [
            name,
            f"{result.rows:,}",
            "log loss" if result.task == "classification" else "RMSE",
            result.losses["project"],
            *(result.losses.get(peer, "failed") for peer in peers),
            result.ratios.get("best", ""),
            result.seconds["project"],
        ]
        for name, result in trained.items()
    ]
    show("loss on the test rows", ["table", "rows", "loss", "project", *peers, "over best", "project: seconds"], rows)
    numbers = numbers_of(results, peers)
    rows = [
        [
            side,
            numbers[f"ratio_{side}"],
            numbers["share_won" if side == "best" else f"share_won_{side}"],
            numbers.get(f"seconds_{side}", ""),
        ]
        for side in ("best", *peers)
        if f"ratio_{side}" in numbers
    ]
    header = ["over", "geometric mean", "share won, refused tables lost", "seconds"]
    show(
        f"project over each library, {len(trained)} tables; {numbers['seconds_project']:.0f} s of model_train",
        header,
        rows,
    )
    print(f"\nrefused: {numbers['refused']}")
    for name, result in results.items():
        if result.refused:
            print(f"  {name}: {result.refused}")


if __name__ == "__main__":
    main()
