"""Compare each model family with its plain estimator on real tables, and its ONNX graph with the model."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from harness import Numbers, alternate, arguments, in_child, median, show, spread, summary, write

# From scikit-learn: binary, ten classes, regression.
TABLES = {"breast_cancer": "classification", "digits": "classification", "diabetes": "regression"}
FAMILIES = ("xgboost", "random_forest", "nn")


def main() -> None:
    """Run the comparison and print the results."""
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="tables of scikit-learn")
    options = parser.parse_args()
    rows, onnx_rows = [], []
    numbers: Numbers = {}
    for table in options.tables:
        sides: dict[str, Callable[[int], Numbers]] = {}
        for family in FAMILIES:
            sides[f"{table}, {family}"] = partial(in_child, run_search, table, family)
            sides[f"{table}, {family} defaults"] = partial(in_child, run_defaults, table, family)
        results = alternate(sides, options.repeats)
        for family in FAMILIES:
            searched, plain = results[f"{table}, {family}"], results[f"{table}, {family} defaults"]
            pairs = zip(searched, plain, strict=True)
            ratios = [{"ratio": ours["loss"] / other["loss"]} for ours, other in pairs]
            ratio = median(ratios, "ratio")
            numbers |= summary(f"{table}_{family}_loss_ratio", ratios, "ratio")
            seconds = [median(searched, "seconds"), median(plain, "seconds")]
            rows.append([f"{table}, {family}", median(searched, "loss"), median(plain, "loss"), ratio, *seconds])
            for key in ("onnx_row_ratio", "onnx_rows_ratio"):
                numbers |= summary(f"{table}_{family}_{key}", searched, key)
            onnx_rows.append(
                [
                    f"{table}, {family}",
                    median(searched, "onnx_row_ratio"),
                    spread(searched, "onnx_row_ratio"),
                    median(searched, "onnx_rows_ratio"),
                    median(searched, "onnx_ms"),
                ]
            )
    header = ["table, family", "this project", "defaults", "ratio", "seconds", "defaults: seconds"]
    show(f"log loss or RMSE on the test set, medians of {options.repeats} splits", header, rows)
    header = ["table, family", "one row: time ratio", "min - max", "all test rows: time ratio", "one row: ms"]
    show("ONNX graph compared with the model", header, onnx_rows)
    write(options.json, numbers)


def run_search(name: str, family_name: str, seed: int) -> Numbers:
    """Search, fit and test a family like exp1, without MLflow, and time its ONNX graph."""
    from pipeline.learn.progress import track_best
    from pipeline.learn.search import count_candidates, search
    from pipeline.onnx.check import check
    from pipeline.onnx.model import to_onnx
    from pipeline.params.schema import DatasetParams, Params, SplitParams, TrainParams
    from pipeline.prepare.stage import prepare
    from pipeline.train.fit import Fitter, choose
    from pipeline.train.tables import load_tables

    table = load(name)
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        table.to_parquet(folder / "table.parquet")
        split = SplitParams(strategy="stratified" if TABLES[name] == "classification" else "random", seed=seed)
        params = Params(
            dataset=DatasetParams(
                path="table.parquet",
                target="target",
                task=TABLES[name],
                split=split,
            ),
            train=TrainParams(models=[family_name], seed=seed),
        )
        prepare(params.dataset, folder)
        tables = load_tables(folder, params)
        test = pd.read_parquet(folder / "data/processed/test.parquet")
    started, data, transformer = time.perf_counter(), tables.data, tables.view.transformer
    task, learner = data.task, Fitter.from_params(family_name, params.train, data).learner
    candidates = search(params.train.search, learner, seed, lambda _: None)
    best = track_best(candidates, count_candidates(params.train.search, learner), family_name, task.loss)
    chosen = choose(learner, best)
    model = learner.estimator(chosen.sampled, chosen.scores.n_rounds, data.y_train)
    learner.fit(model, data.X_train, data.y_train)
    seconds = time.perf_counter() - started

    def predict(rows: pd.DataFrame) -> dict[str, Any]:
        features = transformer.transform(rows)
        if task.labels is None:
            return {"prediction": np.asarray(model.predict(features), dtype=np.float64)}
        return {"probabilities": np.asarray(model.predict_proba(features), dtype=np.float64)}

    graph = to_onnx(transformer, data.features, model, task.labels)
    timing = check(graph, transformer, test, predict)
    (outputs,) = predict(test).values()
    return {
        "loss": task.score(task.losses(data.y_test, outputs)),
        "seconds": seconds,
        "onnx_row_ratio": timing.row_ms / timing.original_row_ms,
        "onnx_rows_ratio": timing.rows_ms / timing.original_rows_ms,
        "onnx_ms": timing.row_ms,
    }


def run_defaults(name: str, family_name: str, seed: int) -> Numbers:
    """Fit and test the plain estimator of a family with default parameters; scale the inputs of the neural network."""
    import warnings

    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from xgboost import XGBClassifier, XGBRegressor

    from pipeline.learn.task import Task

    table, classifies = load(name), TABLES[name] == "classification"
    X, y = table.drop(columns="target").astype("float32"), table["target"]
    strata = y if classifies else None
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=seed, stratify=strata)
    kinds: dict[str, Callable[[], Any]] = {
        "xgboost": lambda: (XGBClassifier if classifies else XGBRegressor)(n_jobs=2, random_state=seed),
        "random_forest": lambda: (RandomForestClassifier if classifies else RandomForestRegressor)(
            n_jobs=2, random_state=seed
        ),
        "nn": lambda: make_pipeline(
            StandardScaler(),
            MLPClassifier(random_state=seed)
            if classifies
            else TransformedTargetRegressor(MLPRegressor(random_state=seed), transformer=StandardScaler()),
        ),
    }
    started = time.perf_counter()
    model = kinds[family_name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X_train, y_train)
    seconds = time.perf_counter() - started
    task = Task(list(range(int(y.max()) + 1))) if classifies else Task()
    outputs = model.predict_proba(X_test) if classifies else model.predict(X_test)
    return {"loss": task.score(task.losses(y_test.to_numpy(), outputs)), "seconds": seconds}


def load(name: str) -> pd.DataFrame:
    """Return a table of scikit-learn with a column `target`."""
    from sklearn import datasets

    table: pd.DataFrame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    return table


if __name__ == "__main__":
    main()
