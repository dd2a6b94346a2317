"""Measure model_train beside busy programs and under a CPU quota, as wall time over that of its fair share.

With n processors and k busy loops, a program that keeps n threads running gets n * n / (n + k) processors. Its fair
wall time is then (n + k) / n times that on the idle machine, so the ratio of a program that loses nothing else is 1.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from harness import (
    Numbers,
    alternate,
    arguments,
    clone_commit,
    environment,
    median,
    show,
    spread,
    summary,
    timed,
    write,
)
from machine import control_group, in_group, wait_until_idle

# It ends with its parent, even if the parent is killed.
BUSY_LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    for _ in range(10**6): pass"
OPEN_STORE = "from pipeline.store.open import open_store; open_store()"
TRIAL_SEARCH = {"n_candidates": 2, "max_rounds": 50}
ONE_CORE = (  # control groups, versions 1 and 2
    ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", "100000"),
    ("/sys/fs/cgroup", "cpu.max", "100000 100000"),
)


@dataclass(frozen=True)
class Side:
    """A way to run the stage, and its ratio to a run on the idle machine."""

    run: Callable[[], Numbers]
    ratio: Callable[[Numbers, Numbers], float]


def main() -> None:
    """Run the benchmark and print the results."""
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--loops", type=int, nargs="+", default=[1, 2, 4], metavar="K", help="numbers of busy loops")
    parser.add_argument("--against", metavar="COMMIT", help="also compare with this commit on the idle machine")
    parser.add_argument(
        "--trial", action="store_true", help="check that the benchmark runs: a short search, at any load of the machine"
    )
    options = parser.parse_args()
    if not options.trial:
        wait_until_idle()
    with tempfile.TemporaryDirectory() as name, control_group(ONE_CORE) as group:
        clone = prepared_clone("HEAD", Path(name) / "clone", options.trial)
        sides = {f"busy_{loops}": busy_side(clone, loops) for loops in options.loops}
        if options.against:
            other = prepared_clone(options.against, Path(name) / "other", options.trial)
            sides["idle_ratio"] = Side(lambda: train(other), lambda idle, run: idle["seconds"] / run["seconds"])
        if group:
            sides["busy_quota"] = Side(
                lambda: train(clone, group), lambda idle, run: run["seconds"] / max(idle["seconds"], idle["cpu"])
            )
        else:
            print("busy_quota is not measured: no control group can be created", file=sys.stderr)
        runs: dict[str, Callable[[int], Numbers]] = {"idle": lambda _: train(clone)}
        runs |= {key: lambda _, side=side: side.run() for key, side in sides.items()}
        results = alternate(runs, options.repeats)
    numbers = summary("idle_seconds", results["idle"], "seconds") | summary("idle_cpu", results["idle"], "cpu")
    rows = [["idle", median(results["idle"], "seconds"), spread(results["idle"], "seconds"), 1.0, ""]]
    for key, side in sides.items():
        pairs = zip(results["idle"], results[key], strict=True)
        ratios = [{"ratio": side.ratio(idle, run)} for idle, run in pairs]
        name = "against" if key == "idle_ratio" else key
        numbers |= summary(f"{name}_seconds", results[key], "seconds") | summary(key, ratios, "ratio")
        seconds = [median(results[key], "seconds"), spread(results[key], "seconds")]
        rows.append([key, *seconds, median(ratios, "ratio"), spread(ratios, "ratio")])
    show(
        f"model_train on the default table, medians of {options.repeats}; ratios to the fair share",
        ["side", "seconds", "min - max", "ratio", "min - max"],
        rows,
    )
    write(options.json, numbers)


def busy_side(clone: Path, loops: int) -> Side:
    """Return the side that runs beside busy loops."""
    from pipeline.support.processes import available_processors

    def run() -> Numbers:
        with busy_loops(loops):
            return train(clone)

    n = available_processors()
    return Side(run, lambda idle, run: run["seconds"] / (idle["seconds"] * (n + loops) / n))


def prepared_clone(commit: str, folder: Path, trial: bool) -> Path:
    """Clone a commit of the project and run its stage prepare."""
    clone_commit(commit, folder)
    if trial:
        path = folder / "params.yaml"
        params = yaml.safe_load(path.read_text())
        params["train"]["search"] |= TRIAL_SEARCH
        path.write_text(yaml.safe_dump(params))
    for command in (["-m", "compileall", "-q", "src"], ["src/prepare.py"]):  # compile: the first run is not slower
        python = [sys.executable, *command]
        subprocess.run(python, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return folder


def train(clone: Path, group: Path | None = None) -> Numbers:
    """Run the stage model_train with an empty store, in a control group if given; return its wall and CPU time."""
    store = Path(tempfile.mkdtemp(prefix="store-", dir=clone.parent)) / "mlruns/mlflow.db"
    env = environment() | {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
    open_store = [sys.executable, "-c", OPEN_STORE]
    subprocess.run(open_store, cwd=clone, env=env | {"PYTHONPATH": "src"}, check=True)
    command = [sys.executable, "src/model_train.py"]
    return timed(clone, in_group(command, group), env)


@contextmanager
def busy_loops(number: int) -> Iterator[None]:
    """Run processes that keep a processor busy until the block ends."""
    with ExitStack() as stack:
        for _ in range(number):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", BUSY_LOOP]))
            stack.callback(process.kill)
        yield


if __name__ == "__main__":
    main()
