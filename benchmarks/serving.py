"""Compare the prediction service with `mlflow models serve` of the same registered model."""

import json
import statistics
import tempfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness import PROJECT, Numbers, alternate, arguments, in_child, median, show, spread, summary, write
from served import (
    Server,
    Subject,
    copy_subject,
    empty_server,
    mlflow_server,
    prediction_service,
    requests_file,
    time_bare_model,
)

BATCH_ROWS = 1000
PHASES = {"single_row": 1, "throughput_16": 16, "batch": 1}  # number of connections


def main() -> None:
    """Run the comparison and print the results."""
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--seconds", type=float, default=5, metavar="S", help="duration of each measurement")
    parser.add_argument(
        "--repository",
        type=Path,
        default=PROJECT,
        metavar="FOLDER",
        help="repository with a model version in Production",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        subject = copy_subject(options.repository, Path(name))
        session = Session(subject, options)
        runs = alternate({"both": session.run}, options.repeats)["both"]
    report(runs, options)


class Session:
    """Starts both servers and measures them in turn."""

    def __init__(self, subject: Subject, options: Namespace) -> None:
        self.subject, self.seconds = subject, options.seconds
        rows = subject.rows[:BATCH_ROWS]
        batch = (rows * (BATCH_ROWS // len(rows) + 1))[:BATCH_ROWS]
        self.files = {}
        for side, encode in {"ours": service_request, "mlflow": mlflow_request, "empty": service_request}.items():
            single = requests_file(subject.folder / f"{side}.jsonl", [encode([row], True) for row in rows])
            batches = requests_file(subject.folder / f"{side}-batch.jsonl", [encode(batch, False)])
            self.files |= {(side, "single_row"): single, (side, "throughput_16"): single, (side, "batch"): batches}
        self.first = {"ours": service_request(rows[:1], True), "mlflow": mlflow_request(rows[:1], True)}
        self.batch = subject.folder / "batch.json"
        self.batch.write_text(json.dumps(batch))

    def run(self, number: int) -> Numbers:
        """Measure once; the order of the two servers alternates."""
        starts: dict[str, Callable[..., Any]] = {"ours": prediction_service, "mlflow": mlflow_server}
        sides = ["ours", "mlflow"] if number % 2 == 0 else ["mlflow", "ours"]
        with ExitStack() as stack:
            servers = {side: stack.enter_context(starts[side](self.subject, self.first[side])) for side in sides}
            servers["empty"] = stack.enter_context(empty_server(self.subject, self.first["ours"]))
            measured = [self.measure(servers, order) for order in (sides, sides[::-1])]
            numbers = {key: statistics.fmean(numbers[key] for numbers in measured) for key in measured[0]}
            for side in sides:
                numbers |= {
                    f"{side}_ready_seconds": servers[side].ready_seconds,
                    f"{side}_megabytes": servers[side].megabytes(),
                }
        return numbers | ratios(numbers)

    def measure(self, servers: dict[str, Server], order: list[str]) -> Numbers:
        """Measure all servers in turn for each kind of request."""
        numbers: Numbers = {}
        for phase, connections in PHASES.items():
            for side in order if phase == "batch" else [*order, "empty"]:
                file = self.files[side, phase]
                results = servers[side].load(file, "--connections", connections, "--seconds", self.seconds)
                if set(results["statuses"]) != {"200"} or results["broken"]:
                    raise SystemExit(f"{side} failed: {results}\n{servers[side].log.read_text()}")
                numbers |= {f"{side}_{phase}_{key}": results[key] for key in ("p50_ms", "p99_ms", "per_second")}
        bare = in_child(time_bare_model, self.subject.model, self.batch, self.seconds / 2)
        return numbers | {"bare_batch_p50_ms": bare["p50_ms"]}


def service_request(rows: list[dict[str, Any]], single: bool) -> dict[str, str]:
    """Return a request to the prediction service."""
    return {"path": "/predict", "body": json.dumps(rows[0] if single else rows)}


def mlflow_request(rows: list[dict[str, Any]], single: bool) -> dict[str, str]:
    """Return a request to the MLflow server, in the shortest of the formats it accepts."""
    table = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    return {"path": "/invocations", "body": json.dumps({"dataframe_split": table})}


def ratios(numbers: Numbers) -> Numbers:
    """Return the results of the service relative to those of the MLflow server."""
    found = {
        f"{phase}_{short}_ratio": numbers[f"ours_{phase}_{key}"] / numbers[f"mlflow_{phase}_{key}"]
        for phase in ("single_row", "batch")
        for short, key in (("p50", "p50_ms"), ("p99", "p99_ms"))
    }
    for key, name in (("throughput_16_p99_ms", "latency_16_p99"), ("throughput_16_per_second", "throughput_16")):
        found[f"{name}_ratio"] = numbers[f"ours_{key}"] / numbers[f"mlflow_{key}"]
    for key in ("megabytes", "ready_seconds"):
        name = {"megabytes": "memory", "ready_seconds": "ready"}[key]
        found[f"{name}_ratio"] = numbers[f"ours_{key}"] / numbers[f"mlflow_{key}"]
    found["batch_over_bare_ratio"] = numbers["ours_batch_p50_ms"] / numbers["bare_batch_p50_ms"]
    return found


def report(runs: list[Numbers], options: Namespace) -> None:
    """Print the results and write them as JSON."""
    labels = {
        "single_row_p50_ms": "one row, 1 connection: p50, ms",
        "single_row_p99_ms": "p99, ms",
        "single_row_per_second": "responses per second",
        "throughput_16_p50_ms": "one row, 16 connections: p50, ms",
        "throughput_16_p99_ms": "p99, ms",
        "throughput_16_per_second": "responses per second",
        "batch_p50_ms": f"{BATCH_ROWS:,} rows, 1 connection: p50, ms",
        "batch_p99_ms": "p99, ms",
        "batch_per_second": "responses per second",
        "megabytes": "memory of all processes, MB",
        "ready_seconds": "time from start to first response, s",
    }
    rows = []
    for key, text in labels.items():
        cells: list[Any] = [text]
        for side in ("ours", "mlflow", "empty"):
            has = f"{side}_{key}" in runs[0]
            cells.append(f"{median(runs, f'{side}_{key}'):.4g} ({spread(runs, f'{side}_{key}')})" if has else "")
        rows.append(cells)
    show(
        f"medians of {options.repeats} starts, {2 * options.seconds:g} s of requests each (min - max)",
        ["measure", "this service", "mlflow models serve", "uvicorn alone"],
        rows,
    )
    compared = [key for key in runs[0] if key.endswith("_ratio")]
    show(
        "this service relative to mlflow models serve",
        ["measure", "ratio", "min - max"],
        [[k, median(runs, k), spread(runs, k)] for k in compared],
    )
    bare_ms = median(runs, "bare_batch_p50_ms")
    print(f"the bare model, including JSON parsing and writing, takes {bare_ms:.3g} ms for {BATCH_ROWS:,} rows")
    numbers = {name: value for key in runs[0] for name, value in summary(key, runs, key).items()}
    numbers["empty_p50_ms"] = numbers["empty_single_row_p50_ms"]
    numbers["empty_throughput_16"] = numbers["empty_throughput_16_per_second"]
    write(options.json, numbers)


if __name__ == "__main__":
    main()
