"""Run the prediction service at full load for minutes, with mixed requests and changing models.

The exit code is 1 if a check fails: a response has an unexpected status, a connection breaks, memory or latency grows,
or a prediction is not recorded exactly once.
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
from harness import PROJECT, SOURCES, Numbers, show, summary, write
from numpy.typing import NDArray
from served import Server, Subject, copy_subject, output_of, prediction_service, requests_file
from serving import service_request

WINDOW_SECONDS = 15.0  # of continuous load; after it, memory is measured and all clients reconnect
SWITCH_EVERY = 4  # windows between model changes
MOST_GROWTH, MOST_SLOWING = 1.1, 2.0  # of memory and median latency, last quarter of the windows over the first
KINDS = {  # by kind of request: expected statuses, number of connections, pause after each response in seconds
    "single rows": ({"200"}, 16, 0.0),
    "batches": ({"200"}, 2, 0.2),
    "explanations": ({"200"}, 1, 0.2),
    "malformed": ({"400", "413", "415", "422"}, 2, 0.02),
    "others": ({"200"}, 1, 0.5),
}
PREDICTING = ("single rows", "batches")
BATCH_ROWS, EXPLAINED_ROWS = (2, 50, 300, 1000), 20


def main() -> None:
    """Run the load, check the results and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="duration of the load (10)")
    parser.add_argument(
        "--repository",
        type=Path,
        default=PROJECT,
        metavar="FOLDER",
        help="repository with a model version in Production",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        subject = copy_subject(options.repository, Path(name))
        soak = Soak(subject)
        with prediction_service(subject, service_request(subject.rows[:1], single=True)) as server:
            began, memory = time.monotonic(), server.megabytes()
            while time.monotonic() - began < 60 * options.minutes:
                soak.window(server, time.monotonic() - began)
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health", timeout=10) as response:
                health = json.load(response)
        failures = soak.failures() + recording_failures(soak, health)
        soak.report(health)
    write(options.json, soak.numbers() | {"minutes": options.minutes, "memory_start_mb": memory})
    print("\n".join(f"check failed: {failure}" for failure in failures) or "\nall checks passed")
    sys.exit(1 if failures else 0)


class Soak:
    """The load and its results."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        rows = subject.rows
        requests = {
            "single rows": [service_request([row], single=True) for row in rows],
            "batches": [service_request(rows[:count], single=False) for count in BATCH_ROWS],
            "explanations": [service_request(rows[:EXPLAINED_ROWS], single=False) | {"path": "/explain"}],
            "malformed": malformed(rows[0]),
            "others": [{"path": path} for path in ("/", "/health", "/model", "/drift", "/metrics", "/openapi.json")],
        }
        self.files = {kind: requests_file(subject.folder / f"{kind}.jsonl", lines) for kind, lines in requests.items()}
        summary = json.loads((subject.folder / "mlartifacts/training/experiments_summary.json").read_text())
        self.runs = [experiment["mlflow_run_id"] for experiment in summary["experiments"]]
        self.windows: list[dict[str, Any]] = []
        self.results: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
        self.answered: list[NDArray[np.uint64]] = []  # predictions by window, hashed
        self.switches = 0

    def window(self, server: Server, seconds: float) -> None:
        """Send all kinds of requests in parallel for one window; change the model in some windows."""
        loads = {}
        for kind, (_, connections, pause) in KINDS.items():
            options = ["--connections", connections, "--seconds", WINDOW_SECONDS, "--pause", pause]
            if kind in PREDICTING:
                options += ["--ids", self._ids(kind)]
            loads[kind] = server.start_load(self.files[kind], *options)
        if len(self.windows) % SWITCH_EVERY == 1:
            self._switch()
        for kind, load in loads.items():
            self.results[kind].append(json.loads(output_of(load)))
        lines = [line for kind in PREDICTING for line in self._ids(kind).read_text().splitlines()]
        self.answered.append(hash_lines(lines))
        single, batch, explained = (self.results[kind][-1] for kind in ("single rows", "batches", "explanations"))
        window = {
            "seconds": round(seconds),
            "single rows per second": single["per_second"],
            "p50, ms": single["p50_ms"],
            "p99, ms": single["p99_ms"],
            "batches: p50, ms": batch["p50_ms"],
            "explanations: p50, ms": explained["p50_ms"],
            "memory, MB": server.megabytes(),
            "versions": ", ".join(sorted({line.partition(" ")[0] for line in lines})),
        }
        self.windows.append(window)
        print(
            f"  {', '.join(f'{key} {_short_repr(value)}' for key, value in window.items())}",
            file=sys.stderr,
            flush=True,
        )

    def _ids(self, kind: str) -> Path:
        return self.subject.folder / f"{kind}.ids"

    def _switch(self) -> None:
        """Promote another training run to Production."""
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

    def failures(self) -> list[str]:
        """Return the failed checks of responses, latency and memory."""
        failures = []
        for kind, (expected, *_) in KINDS.items():
            statuses = self.statuses(kind)
            if set(statuses) - expected:
                failures.append(f"{kind}: expected status {', '.join(sorted(expected))}, got {dict(statuses)}")
            if broken := sum(result["broken"] for result in self.results[kind]):
                failures.append(f"{kind}: {broken} connections broke")
        quarter = max(1, len(self.windows) // 4)
        for key, most in (("memory, MB", MOST_GROWTH), ("p50, ms", MOST_SLOWING)):
            before, after = (
                statistics.median(window[key] for window in windows)
                for windows in (self.windows[:quarter], self.windows[-quarter:])
            )
            if after > most * before:
                failures.append(f"{key} grew by more than a factor of {most:g}: from {before:.4g} to {after:.4g}")
        versions = {version for window in self.windows for version in window["versions"].split(", ")}
        if self.switches and len(versions) < 2:
            failures.append(f"the service did not change its model although others were promoted {self.switches} times")
        return failures

    def statuses(self, kind: str) -> Counter[str]:
        """Return the number of responses by status."""
        return sum((Counter(result["statuses"]) for result in self.results[kind]), Counter())

    def report(self, health: dict[str, Any]) -> None:
        """Print the results."""
        show("windows", list(self.windows[0]), [list(window.values()) for window in self.windows])
        rows = [
            [kind, sum(self.statuses(kind).values()), ", ".join(f"{k}: {n}" for k, n in self.statuses(kind).items())]
            for kind in KINDS
        ]
        show("requests", ["kind", "responses", "by status"], rows)
        print(f"\nthe model changed {self.switches} times\nrecording {health['recording']}")
        print(f"tracking {health['tracking']}")

    def numbers(self) -> Numbers:
        """Return the number of responses and predictions, and the spread of times and memory over the windows."""
        numbers: Numbers = {f"{kind.replace(' ', '_')}_responses": self.statuses(kind).total() for kind in KINDS}
        numbers |= {"predictions": sum(map(len, self.answered)), "model_changes": self.switches}
        for name, key in (("per_second", "single rows per second"), ("p50_ms", "p50, ms"), ("p99_ms", "p99, ms")):
            numbers |= summary(name, self.windows, key)
        changed = self.windows[1:] or self.windows  # the model changes in the second window for the first time
        return numbers | summary("memory_mb", changed, "memory, MB")


def _short_repr(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def malformed(row: dict[str, Any]) -> list[dict[str, str]]:
    """Return requests that the service must refuse."""
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
    other_types = [("text/csv", "a,b\n1,2\n"), ("application/vnd.apache.arrow.stream", "no arrow"), ("image/png", "{}")]
    return [{"path": "/predict", "body": body} for body in bodies] + [
        {"path": "/predict", "body": body, "type": kind} for kind, body in other_types
    ]


def hash_lines(lines: list[str]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each line, to save memory."""
    import pandas as pd

    return pd.util.hash_array(np.array(lines, dtype=object), categorize=False)


def recording_failures(soak: Soak, health: dict[str, Any]) -> list[str]:
    """Return the failed checks that each prediction is recorded exactly once, and nothing else is."""
    from pipeline.service.recording.read import read_predictions

    table = read_predictions(soak.subject.folder / "data/predictions", soak.subject.model_name)
    versions, ids = (table.column(name).to_pylist() for name in ("model_version", "prediction_id"))
    recorded = np.sort(hash_lines([f"{version} {number}" for version, number in zip(versions, ids, strict=True)]))
    answered = np.sort(np.concatenate(soak.answered))
    n_probes = 1  # predictions of the requests that checked whether the service is ready
    print(f"\n{len(answered):,} predictions, {len(recorded):,} recorded (including {n_probes} of the readiness check)")
    missing = len(np.setdiff1d(answered, recorded))
    duplicates = len(recorded) - len(np.unique(recorded))
    failures = [f"{missing:,} predictions are not recorded"] if missing else []
    failures += [f"{duplicates:,} predictions are recorded more than once"] if duplicates else []
    if len(recorded) - len(answered) != n_probes - missing + duplicates:
        failures.append("there are recorded predictions that no client received")
    if dropped := health["recording"]["dropped_rows"]:
        failures.append(f"{dropped:,} rows were dropped")
    return failures


if __name__ == "__main__":
    main()
