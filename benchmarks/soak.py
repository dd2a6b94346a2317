"""The prediction service at full load for minutes: mixed requests, a model that changes, and nothing lost.

Exits with 1 when something does not hold: an answer with another status than it must have, a connection that breaks,
memory or times that grow, an answered prediction that is not recorded exactly once.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from harness import PROJECT, SOURCES, show
from numpy.typing import NDArray
from served import Server, Subject, copied, finished, ours, requests_file

from support.serving import for_ours

WINDOW_SECONDS = 15.0  # of asking without pause; then memory is read, and everyone connects anew
SWITCH_EVERY = 4  # windows, in which the model changes
MOST_GROWTH, MOST_SLOWING = 1.1, 2.0  # of memory, of the median time: the last quarter of the windows over the first
KINDS = {  # what each kind of client may be answered, over how many connections, with which pause after an answer
    "single rows": ({"200"}, 16, 0.0),
    "batches": ({"200"}, 2, 0.2),
    "explanations": ({"200"}, 1, 0.2),
    "malformed": ({"400", "413", "415", "422"}, 2, 0.02),
    "others": ({"200"}, 1, 0.5),
}
PREDICTING = ("single rows", "batches")
BATCH_ROWS, EXPLAINED_ROWS = (2, 50, 300, 1000), 20


def main() -> None:
    """Ask, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="how long to ask (10)")
    parser.add_argument(
        "--repository", type=Path, default=PROJECT, metavar="FOLDER", help="where `make repro` has been run"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        subject = copied(options.repository, Path(name))
        soak = Soak(subject)
        with ours(subject, for_ours(subject.rows[:1], single=True)) as server:
            began = time.monotonic()
            while time.monotonic() - began < 60 * options.minutes:
                soak.window(server, time.monotonic() - began)
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health", timeout=10) as answer:
                health = json.load(answer)
        wrong = soak.wrong() + lost(soak, health)
        soak.report(health)
    print("\n".join(f"does NOT hold: {each}" for each in wrong) or "\nall of it holds")
    sys.exit(1 if wrong else 0)


class Soak:
    """What is asked, and what came of it."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        rows = subject.rows
        requests = {
            "single rows": [for_ours([row], single=True) for row in rows],
            "batches": [for_ours(rows[:count], single=False) for count in BATCH_ROWS],
            "explanations": [for_ours(rows[:EXPLAINED_ROWS], single=False) | {"path": "/explain"}],
            "malformed": malformed(rows[0]),
            "others": [{"path": path} for path in ("/", "/health", "/model", "/drift", "/metrics", "/openapi.json")],
        }
        self.files = {kind: requests_file(subject.folder / f"{kind}.jsonl", asked) for kind, asked in requests.items()}
        summary = json.loads((subject.folder / "mlartifacts/training/experiments_summary.json").read_text())
        self.runs = [one["mlflow_run_id"] for one in summary["experiments"]]
        self.windows: list[dict[str, Any]] = []
        self.told: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.answered: list[NDArray[np.uint64]] = []  # by window, hashed
        self.switches = 0

    def window(self, server: Server, seconds: float) -> None:
        """Ask all kinds at once for a while; in some windows the model changes meanwhile."""
        loads = {}
        for kind, (_, connections, pause) in KINDS.items():
            options = ["--connections", connections, "--seconds", WINDOW_SECONDS, "--pause", pause]
            if kind in PREDICTING:
                options += ["--ids", self._ids(kind)]
            loads[kind] = server.start_load(self.files[kind], *options)
        if len(self.windows) % SWITCH_EVERY == 1:
            self._switch()
        for kind, load in loads.items():
            self.told[kind].append(json.loads(finished(load)))
        lines = [line for kind in PREDICTING for line in self._ids(kind).read_text().splitlines()]
        self.answered.append(hashed(lines))
        single, batch, explained = (self.told[kind][-1] for kind in ("single rows", "batches", "explanations"))
        window = {
            "seconds": round(seconds),
            "single rows a second": single["per_second"],
            "p50, ms": single["p50_ms"],
            "p99, ms": single["p99_ms"],
            "batches: p50, ms": batch["p50_ms"],
            "explanations: p50, ms": explained["p50_ms"],
            "memory, MB": server.megabytes(),
            "versions": ", ".join(sorted({line.partition(" ")[0] for line in lines})),
        }
        self.windows.append(window)
        print(f"  {', '.join(f'{key} {_shown(value)}' for key, value in window.items())}", file=sys.stderr, flush=True)

    def _ids(self, kind: str) -> Path:
        return self.subject.folder / f"{kind}.ids"

    def _switch(self) -> None:
        """Put another run of the training into production."""
        self.switches += 1
        run_id = self.runs[self.switches % len(self.runs)]
        command = [sys.executable, str(SOURCES / "model_register.py"), "--stage", "Production", "--run-id", run_id]
        subprocess.run(
            [*command, "--force", "--reason", "soak"],
            cwd=self.subject.folder,
            env=self.subject.environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def wrong(self) -> list[str]:
        """Return what does not hold of the answers and of memory."""
        found = []
        for kind, (expected, *_) in KINDS.items():
            statuses = self.statuses(kind)
            if set(statuses) - expected:
                found.append(f"{kind} are answered with {', '.join(sorted(expected))}: {dict(statuses)}")
            if broken := sum(told["broken"] for told in self.told[kind]):
                found.append(f"no connection breaks: {broken} of {kind} did")
        quarter = max(1, len(self.windows) // 4)
        for key, most in (("memory, MB", MOST_GROWTH), ("p50, ms", MOST_SLOWING)):
            before, after = (
                statistics.median(window[key] for window in some)
                for some in (self.windows[:quarter], self.windows[-quarter:])
            )
            if after > most * before:
                found.append(f"{key} stays below {most:g} times what it was: from {before:.4g} to {after:.4g}")
        seen = {version for window in self.windows for version in window["versions"].split(", ")}
        if self.switches and len(seen) < 2:
            found.append(f"the model changes: {self.switches} times another one was promoted, one version answered")
        return found

    def statuses(self, kind: str) -> Counter[str]:
        """Return how often each status was answered."""
        return sum((Counter(told["statuses"]) for told in self.told[kind]), Counter())

    def report(self, health: dict[str, Any]) -> None:
        """Print what was seen."""
        show("windows", list(self.windows[0]), [list(window.values()) for window in self.windows])
        rows = [
            [kind, sum(self.statuses(kind).values()), ", ".join(f"{k}: {n}" for k, n in self.statuses(kind).items())]
            for kind in KINDS
        ]
        show("requests", ["kind", "answered", "by status"], rows)
        print(f"\nthe model changed {self.switches} times\nrecording {health['recording']}")
        print(f"tracking {health['tracking']}")


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def malformed(row: dict[str, Any]) -> list[dict[str, str]]:
    """Return requests that must be refused."""
    number = next(column for column, value in row.items() if isinstance(value, float))
    bodies = [
        "{",
        "null",
        "[]",
        "[[]]",
        '"row"',
        "[" * 5000,
        "\0" * 100,
        json.dumps([{}] * 20_000),
        json.dumps({column: value for column, value in row.items() if column != number}),
        *(json.dumps(row | {number: value}) for value in ("text", True, [1], {}, float("nan"), float("inf"))),
        json.dumps(row | {"no such column": 1}),
        json.dumps([row, row, row | {number: "text"}]),
    ]
    typed = [("text/csv", "a,b\n1,2\n"), ("application/vnd.apache.arrow.stream", "no arrow"), ("image/png", "{}")]
    return [{"path": "/predict", "body": body} for body in bodies] + [
        {"path": "/predict", "body": body, "type": kind} for kind, body in typed
    ]


def hashed(lines: list[str]) -> NDArray[np.uint64]:
    """Return 8 bytes a line, of which two lines do not have the same."""
    import pandas as pd

    return pd.util.hash_array(np.array(lines, dtype=object), categorize=False)


def lost(soak: Soak, health: dict[str, Any]) -> list[str]:
    """Return what does not hold of the recorded predictions: each that was answered is there, once, and no other."""
    from pipeline.service.recording.read import read_predictions

    table = read_predictions(soak.subject.folder / "data/predictions", soak.subject.model_name)
    versions, ids = (table.column(name).to_pylist() for name in ("model_version", "prediction_id"))
    there = np.sort(hashed([f"{version} {number}" for version, number in zip(versions, ids, strict=True)]))
    answered = np.sort(np.concatenate(soak.answered))
    first = 1  # the request that found out whether the service is ready
    print(f"\n{len(answered):,} predictions were answered, {len(there):,} are recorded ({first} is of the start)")
    missing = len(np.setdiff1d(answered, there))
    twice = len(there) - len(np.unique(there))
    found = [f"all is recorded: {missing:,} predictions are not"] if missing else []
    found += [f"all is recorded once: {twice:,} predictions are twice"] if twice else []
    if len(there) - len(answered) != first - missing + twice:
        found.append("nothing else is recorded than what was answered")
    if dropped := health["recording"]["dropped_rows"]:
        found.append(f"nothing is dropped: {dropped:,} rows were")
    return found


if __name__ == "__main__":
    main()
