"""Compare training on a GPU with training on all processors: search and cross-validation, final fit, SHAP values."""

import hashlib
import sys
import time
from typing import Any

import numpy as np
from harness import arguments, in_child, learner_of, median, show, tuned, write

# Rows, and the search on them: some have fewer candidates and rounds, so that the CPU takes at most a minute.
DEFAULT = {"n_candidates": 16, "max_rounds": 400}
SIZES = {
    13_000: DEFAULT,
    16_500: DEFAULT,
    165_000: DEFAULT,
    200_000: {"n_candidates": 8, "max_rounds": 200},
    2_000_000: {"n_candidates": 4, "max_rounds": 25},
}
TARGETS = {16_500: 2.0, 165_000: 6.0}  # minimum of CPU over GPU, all parts together
N_FEATURES = 27
FOLDS = 5
TEST_ROWS = 5000
PARTS = ("search", "fit", "shap")
SEED = 42


def main() -> None:
    """Run the comparison and print the results."""
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES), choices=list(SIZES), help="table sizes")
    options = parser.parse_args()
    from pipeline.support.processes import available_processors
    from pipeline.train.device import gpu_problem

    if problem := gpu_problem():
        print(f"error: {problem}\n  -> run this on a machine whose nvidia-smi lists a GPU", file=sys.stderr)
        raise SystemExit(2)
    n_jobs = available_processors()
    runs: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for n_rows in options.rows:
        for number in range(options.repeats):
            for device in ("cpu", "cuda", "cuda"):  # the GPU trains twice, to compare the models
                result = in_child(measure, n_rows, device, n_jobs, SIZES[n_rows])
                runs.setdefault((n_rows, device), []).append(result)
                values = ", ".join(f"{part} {result[part]:.2f} s" for part in PARTS)
                print(f"  {number + 1}/{options.repeats} {n_rows:,} rows, {device}: {values}", file=sys.stderr)
    report(options, runs, n_jobs)


def report(options: Any, runs: dict[tuple[int, str], list[dict[str, Any]]], n_jobs: int) -> None:
    """Print ratios, hashes and errors, and write them as flat JSON."""
    rows, numbers = [], {}
    for n_rows in options.rows:
        cpu, cuda = runs[n_rows, "cpu"], runs[n_rows, "cuda"]
        for part in (*PARTS, "total"):
            seconds = {name: median(side, part) for name, side in (("cpu", cpu), ("cuda", cuda))}
            ratio = seconds["cpu"] / seconds["cuda"]
            rows.append([f"{n_rows:,}", part, seconds["cpu"], seconds["cuda"], ratio])
            numbers |= {f"{part}_{n_rows}_{name}_seconds": value for name, value in seconds.items()}
            numbers[f"{part}_{n_rows}_ratio"] = ratio
        numbers |= {f"test_rmse_{n_rows}_cpu": cpu[0]["test_rmse"], f"test_rmse_{n_rows}_cuda": cuda[0]["test_rmse"]}
        numbers[f"same_sha256_{n_rows}"] = len({run["sha256"] for run in cuda}) == 1
    show(
        f"CPU ({n_jobs} threads) over GPU, medians of {options.repeats} and {2 * options.repeats} runs, in seconds",
        ["rows", "part", "CPU", "GPU", "ratio"],
        rows,
    )
    show(
        "models: test RMSE, and whether all trainings on the GPU have the same SHA-256",
        ["rows", "CPU", "GPU", "same"],
        [
            [
                f"{n_rows:,}",
                *(numbers[f"test_rmse_{n_rows}_{device}"] for device in ("cpu", "cuda")),
                str(numbers[f"same_sha256_{n_rows}"]),
            ]
            for n_rows in options.rows
        ],
    )
    keys = {f"total_{n_rows}_ratio": target for n_rows, target in TARGETS.items()}
    reached = [[key, numbers[key], target] for key, target in keys.items() if key in numbers]
    show("all parts together, CPU over GPU", ["ratio", "value", "target"], reached)
    start = median([run for side in runs.values() for run in side if run["device"] == "cuda"], "start")
    print(f"\nA process takes {start:.2f} s to start the GPU, once; the times above do not include it.")
    write(options.json, {**numbers, "start_cuda_seconds": start})


def simulate(n_rows: int) -> tuple[Any, Any]:
    """Return numeric features and a target with interactions, steps and noise, the same for the same size."""
    import pandas as pd

    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((n_rows, N_FEATURES), dtype=np.float32)
    y = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2]) + (X[:, 3] > X[:, 4]) + X[:, 5:9].sum(axis=1) / 4
    y = y.astype(np.float64) + 0.5 * rng.standard_normal(n_rows)
    return pd.DataFrame(X, columns=[f"x{number}" for number in range(N_FEATURES)], copy=False), y


def measure(n_rows: int, device: str, n_jobs: int, search: dict[str, int]) -> dict[str, Any]:
    """Return the seconds of each part of an experiment on one device, the test RMSE and the model's SHA-256."""
    import xgboost
    from sklearn.model_selection import KFold

    from pipeline.learn.families import family
    from pipeline.learn.search_params import SearchParams
    from pipeline.params.schema import TrainParams

    xgboost_family = family("xgboost")
    X, y = simulate(n_rows + TEST_ROWS)
    X_train, y_train, X_test, y_test = X[:n_rows], y[:n_rows], X[n_rows:], y[n_rows:]
    started = time.perf_counter()
    xgboost.train({"device": device}, xgboost.QuantileDMatrix(X[:1000], y[:1000]), 1)
    marks = [time.perf_counter()]

    splits = KFold(FOLDS, shuffle=True, random_state=SEED).split(X_train)
    folds = ((X.iloc[train], y[train], X.iloc[valid], y[valid]) for train, valid in splits)
    # The target may be negative, so there is no objective to choose.
    space = {name: values for name, values in xgboost_family.space.items() if name != "objective"}
    learner = learner_of(SearchParams(**search), space, SEED, n_jobs, folds, device)
    sampled, scores = tuned(learner, SEED)
    marks.append(time.perf_counter())
    model = learner.estimator(sampled, scores.n_rounds, y_train)
    learner.fit(model, X_train, y_train)
    marks.append(time.perf_counter())
    with learner.on_device(model):
        xgboost_family.explain(model, X_test[: TrainParams().explain_rows], X_test)
        marks.append(time.perf_counter())
        y_pred = model.predict(X_test)
    return {
        "device": device,
        "start": marks[0] - started,
        **dict(zip(PARTS, np.diff(marks).tolist(), strict=True)),
        "total": marks[-1] - marks[0],
        "test_rmse": float(np.sqrt(np.mean(np.square(y_test - y_pred)))),
        "sha256": hashlib.sha256(model.get_booster().save_raw()).hexdigest(),
    }


if __name__ == "__main__":
    main()
