"""Compare the search with common alternatives: time to a given cross-validated RMSE, and test RMSE in equal time."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from harness import (
    Numbers,
    alternate,
    arguments,
    in_child,
    learner_of,
    mean,
    median,
    show,
    spread,
    summary,
    tuned,
    write,
)

N_JOBS = 2
FOLDS = 5
CANDIDATES = 20
MAX_ROUNDS = 800
TARGET = "median_house_value"
UNIT = 100_000  # dollars
DEFAULTS = "RandomizedSearchCV, default n_jobs"
SPACE = {
    "learning_rate": (0.01, 0.3, "log"),
    "max_depth": (3, 9, "whole"),
    "min_child_weight": (1.0, 20.0, "log"),
    "subsample": (0.6, 1.0, "even"),
    "colsample_bytree": (0.5, 1.0, "even"),
    "reg_lambda": (0.1, 10.0, "log"),
}


def main() -> None:
    """Run the comparison and print the results."""
    options = arguments(__doc__, repeats=5, data=True).parse_args()
    times: dict[int, Numbers] = {}

    def run_randomized_search(number: int) -> Numbers:
        times[number] = in_child(randomized_search, options.data, number, N_JOBS)
        return times[number]

    def run_our_search(number: int) -> Numbers:
        result = in_child(project_search, options.data, number, times[number]["cv_rmse"])
        times[number]["budget"] = result["seconds"]
        return result

    sides = {
        "RandomizedSearchCV": run_randomized_search,
        "ours": run_our_search,
        DEFAULTS: lambda number: in_child(randomized_search, options.data, number, None),
        "FLAML": lambda number: in_child(flaml_search, options.data, number, times[number]["budget"]),
        "HistGradientBoosting": lambda number: in_child(hgb_search, options.data, number, times[number]["budget"]),
    }
    results = alternate(sides, options.repeats)
    rows, numbers = [], {}
    for name, runs in results.items():
        rows.append(
            [
                name,
                *(median(runs, "seconds"), spread(runs, "seconds")),
                mean(runs, "cv_rmse"),
                mean(runs, "test_rmse"),
                spread(runs, "test_rmse"),
            ]
        )
        key = "randomizedsearchcv_as_it_comes" if name == DEFAULTS else name.lower()
        numbers |= {
            f"{key}_seconds": median(runs, "seconds"),
            f"{key}_cv_rmse": mean(runs, "cv_rmse"),
            f"{key}_test_rmse": mean(runs, "test_rmse"),
        }
    show(
        f"{CANDIDATES} x {FOLDS} on {options.data.name}, medians of {options.repeats} (RMSE: means)",
        ["search", "seconds", "min - max", "CV RMSE", "test RMSE", "min - max"],
        rows,
    )
    for key, name in (
        ("time_ratio", "RandomizedSearchCV"),
        ("time_ratio_as_it_comes", DEFAULTS),
    ):
        pairs = zip(results["ours"], results[name], strict=True)
        ratios = [{key: ours["seconds"] / other["seconds"]} for ours, other in pairs]
        numbers |= summary(key, ratios, key) | {f"{key}_mean": mean(ratios, key)}
    for name in ("RandomizedSearchCV", "FLAML", "HistGradientBoosting"):
        numbers[f"test_rmse_ratio_{name.lower()}"] = numbers["ours_test_rmse"] / numbers[f"{name.lower()}_test_rmse"]
    show(
        "ratios, ours over the other",
        ["metric", "ratio"],
        [[name, value] for name, value in numbers.items() if "ratio" in name],
    )
    write(options.json, numbers)


def load(path: Path, seed: int) -> tuple[Any, Any, Any, Any, Any]:
    """Return X_train, X_test, y_train, y_test and five folds; categories are one-hot encoded."""
    import pandas as pd
    from sklearn.model_selection import KFold, train_test_split

    from pipeline.features.transformer import FeatureTransformer

    table = pd.read_csv(path)
    y = table.pop(TARGET).to_numpy(np.float64) / UNIT
    X = FeatureTransformer.fit(table, {}).transform(table)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=seed)
    return X_train, X_test, y_train, y_test, list(KFold(FOLDS, shuffle=True, random_state=seed).split(X_train))


def rmse(y_true: Any, y_pred: Any) -> float:
    """Return the root mean squared error."""
    return float(np.sqrt(np.mean(np.square(y_true - y_pred))))


def scipy_space(names: list[str]) -> dict[str, Any]:
    """Return the search space of some parameters as SciPy distributions."""
    from scipy.stats import loguniform, randint, uniform

    kinds = {
        "log": loguniform,
        "whole": lambda low, high: randint(low, high + 1),
        "even": lambda low, high: uniform(low, high - low),
    }
    return {name: kinds[SPACE[name][2]](*SPACE[name][:2]) for name in names}


def randomized_search(path: Path, seed: int, n_jobs: int | None) -> Numbers:
    """Time RandomizedSearchCV of scikit-learn.

    With `n_jobs`, it runs that many processes with one thread each, which is fastest here. With None, the default, it
    runs one fit at a time with all threads.
    """
    from joblib.externals.loky import get_reusable_executor
    from scipy.stats import randint
    from sklearn.model_selection import RandomizedSearchCV
    from xgboost import XGBRegressor

    X_train, X_test, y_train, y_test, folds = load(path, seed)
    started = time.perf_counter()
    search = RandomizedSearchCV(
        XGBRegressor(n_jobs=n_jobs and 1, random_state=seed),
        {**scipy_space(list(SPACE)), "n_estimators": randint(100, MAX_ROUNDS + 1)},
        n_iter=CANDIDATES,
        cv=folds,
        scoring="neg_root_mean_squared_error",
        random_state=seed,
        n_jobs=n_jobs,
        refit=False,
    ).fit(X_train, y_train)
    seconds = time.perf_counter() - started
    get_reusable_executor().shutdown()  # otherwise this process waits minutes for idle workers
    model = XGBRegressor(n_jobs=N_JOBS, random_state=seed, **search.best_params_).fit(X_train, y_train)
    return {"seconds": seconds, "cv_rmse": float(-search.best_score_), "test_rmse": rmse(y_test, model.predict(X_test))}


def project_search(path: Path, seed: int, max_rmse: float) -> Numbers:
    """Time this project's search, in its default space, until its cross-validated RMSE is at most `max_rmse`.

    While it is higher, search again with another seed and as many rounds as RandomizedSearchCV may use.
    """
    from pipeline.learn.families import family
    from pipeline.learn.search_params import SearchParams

    X_train, X_test, y_train, y_test, rows = load(path, seed)
    best, best_rmse, searches = None, float("inf"), 0
    started = time.perf_counter()
    while best_rmse > max_rmse and searches < 10:
        rounds = MAX_ROUNDS if searches else SearchParams().max_rounds
        params = SearchParams(max_rounds=rounds)
        folds = ((X_train.iloc[train], y_train[train], X_train.iloc[valid], y_train[valid]) for train, valid in rows)
        learner = learner_of(params, family("xgboost").space, seed, N_JOBS, folds)
        sampled, scores = tuned(learner, seed + 1000 * searches)
        searches += 1
        if scores.mean < best_rmse:
            best, best_rmse = (sampled, scores.n_rounds), scores.mean
    seconds = time.perf_counter() - started
    assert best is not None
    model = learner.estimator(*best, y_train).fit(X_train, y_train)
    return {
        "seconds": seconds,
        "cv_rmse": best_rmse,
        "test_rmse": rmse(y_test, model.predict(X_test)),
        "searches": searches,
    }


def flaml_search(path: Path, seed: int, budget: float) -> Numbers:
    """Let FLAML search the parameters of XGBoost for as long as this project's search took."""
    import logging

    from flaml import AutoML

    logging.getLogger("flaml").setLevel(logging.ERROR)
    X_train, X_test, y_train, y_test, _ = load(path, seed)
    started = time.perf_counter()
    automl = AutoML()
    automl.fit(
        X_train,
        y_train,
        task="regression",
        metric="rmse",
        estimator_list=["xgboost", "xgb_limitdepth"],
        time_budget=budget,
        n_jobs=N_JOBS,
        seed=seed,
        verbose=0,
        n_splits=FOLDS,
    )
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "cv_rmse": float(automl.best_loss), "test_rmse": rmse(y_test, automl.predict(X_test))}


def hgb_search(path: Path, seed: int, budget: float) -> Numbers:
    """Run a random search of HistGradientBoostingRegressor for as long as this project's search took."""
    from scipy.stats import loguniform, randint, uniform
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import ParameterSampler, cross_val_score

    X_train, X_test, y_train, y_test, folds = load(path, seed)
    space = {
        "learning_rate": loguniform(0.01, 0.3),
        "max_leaf_nodes": randint(8, 128),
        "min_samples_leaf": randint(5, 50),
        "l2_regularization": loguniform(0.1, 10),
        "max_features": uniform(0.5, 0.5),
    }
    make = partial(HistGradientBoostingRegressor, max_iter=MAX_ROUNDS, early_stopping=True, random_state=seed)
    best, best_rmse = None, float("inf")
    started = time.perf_counter()
    for sampled in ParameterSampler(space, 1000, random_state=seed):
        scores = cross_val_score(
            make(**sampled), X_train, y_train, cv=folds, scoring="neg_root_mean_squared_error", n_jobs=1
        )
        if -scores.mean() < best_rmse:
            best, best_rmse = sampled, float(-scores.mean())
        if time.perf_counter() - started > budget:
            break
    seconds = time.perf_counter() - started
    assert best is not None
    model = make(**best).fit(X_train, y_train)
    return {"seconds": seconds, "cv_rmse": best_rmse, "test_rmse": rmse(y_test, model.predict(X_test))}


if __name__ == "__main__":
    main()
