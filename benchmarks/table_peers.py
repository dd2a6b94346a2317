"""Fit other libraries on the prepared rows of a pipeline folder, and return their loss on its test rows."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from harness import Numbers, environment

N_JOBS = 2
MAX_CATEGORIES = 255  # limit of HistGradientBoosting, with missing values
TRAIN, TEST = "data/processed/train.parquet", "data/processed/test.parquet"
DATE, SAMPLE, MIN_DATES = r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}", 500, 0.95
USABLE = re.compile(r"(dates|free text|text|codes with leading zeros|numbers)\b")  # reasons that new_pipeline writes


def peer_drop(params_yaml: str) -> list[str]:
    """Return the columns of a new pipeline's ``dataset.drop`` that the peers do not get either.

    Peers get the columns that the pipeline uses, and those dropped only because it cannot use them: dates, free text,
    text with many values, and numbers in text. Columns that leak the target, identifiers, row numbers and constants
    stay dropped; the reason is the comment that new_pipeline writes. A text column whose name ends with "id" is an
    identifier.
    """
    drop = yaml.safe_load(params_yaml)["dataset"]["drop"]
    block = params_yaml.partition("\n  drop:")[2].splitlines()[1 : len(drop) + 1]
    reasons = [line.rpartition("  # ")[2] for line in block]
    return [
        name
        for name, reason in zip(drop, reasons, strict=True)
        if not USABLE.match(reason) or name.lower().endswith("id")
    ]


def inputs(folder: Path, numeric_dates: bool = True) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series, pd.Series, Any]:
    """Return the inputs and targets of the training and test rows in a peers' folder, and the task."""
    from pipeline.learn.task import Task
    from pipeline.params.load import check_params

    params = check_params(yaml.safe_load((folder / "params.yaml").read_text()), "params.yaml").dataset
    train, test = pd.read_parquet(folder / TRAIN), pd.read_parquet(folder / TEST)
    task = Task.from_target(pd.concat([train[params.target], test[params.target]]), params.task)
    others = params.non_features(train.columns)
    targets = [pd.Series(task.encode(table[params.target])) for table in (train, test)]
    X_train, X_test = (table.drop(columns=others) for table in (train, test))
    parse_dates(X_train, X_test)
    for table in (X_train, X_test) if numeric_dates else ():
        for name in table.select_dtypes("datetime").columns:
            table[name] = (table[name] - pd.Timestamp(0)).dt.total_seconds()
    # Some libraries refuse names with characters of JSON.
    X_train.columns = X_test.columns = [f"x{number}" for number in range(X_train.shape[1])]
    return X_train, X_test, *targets, task


def parse_dates(train: pd.DataFrame, test: pd.DataFrame) -> None:
    """Convert text columns of dates; as categories, those of the test rows would be unknown."""
    for name in train.select_dtypes("str").columns:
        if train[name].dropna().head(SAMPLE).str.contains(DATE).mean() < MIN_DATES:
            continue
        for day_first in (False, True):
            settings = {"errors": "coerce", "utc": True, "format": "mixed", "dayfirst": day_first}
            if pd.to_datetime(train[name].dropna().head(SAMPLE), **settings).notna().mean() >= MIN_DATES:
                for table in (train, test):
                    table[name] = pd.to_datetime(table[name], **settings).dt.tz_localize(None)
                break


def as_categories(train: pd.DataFrame, test: pd.DataFrame, limit: int | None = None) -> None:
    """Give text columns the categories of the training rows, at most the `limit` most frequent; others are missing."""
    for name in text_columns(train):
        categories = train[name].value_counts().index[:limit].sort_values()  # not in the order of the rows
        for table in (train, test):
            texts = table[name].astype(object)
            table[name] = pd.Categorical(texts.where(texts.isin(categories)), categories=categories.astype(object))


def text_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns that are not numbers or booleans."""
    return [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]


def lightgbm(folder: Path, seed: int, budget: float) -> Numbers:
    """LightGBM with its defaults."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    X_train, X_test, y_train, y_test, task = inputs(folder)
    as_categories(X_train, X_test)
    kind = LGBMClassifier if task.labels else LGBMRegressor
    return fit(kind(random_state=seed, n_jobs=N_JOBS, verbose=-1), X_train, X_test, y_train, y_test, task)


def catboost(folder: Path, seed: int, budget: float) -> Numbers:
    """CatBoost with its defaults, and text columns as categories."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    X_train, X_test, y_train, y_test, task = inputs(folder)
    texts = text_columns(X_train)
    for table in (X_train, X_test):
        table[texts] = table[texts].astype(object).fillna("")
    kind = CatBoostClassifier if task.labels else CatBoostRegressor
    settings = {"random_seed": seed, "thread_count": N_JOBS, "verbose": False, "allow_writing_files": False}
    return fit(kind(cat_features=texts, **settings), X_train, X_test, y_train, y_test, task)


def hist_gradient_boosting(folder: Path, seed: int, budget: float) -> Numbers:
    """Scikit-learn's HistGradientBoosting with its defaults, and text columns as categories."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    X_train, X_test, y_train, y_test, task = inputs(folder)
    as_categories(X_train, X_test, MAX_CATEGORIES - 1)
    kind = HistGradientBoostingClassifier if task.labels else HistGradientBoostingRegressor
    return fit(kind(categorical_features="from_dtype", random_state=seed), X_train, X_test, y_train, y_test, task)


def flaml(folder: Path, seed: int, budget: float) -> Numbers:
    """FLAML with its default estimators, for as many seconds as model_train took."""
    import logging

    from flaml import AutoML

    logging.getLogger("flaml").setLevel(logging.ERROR)
    X_train, X_test, y_train, y_test, task = inputs(folder)
    as_categories(X_train, X_test)
    kind, metric = ("classification", "log_loss") if task.labels else ("regression", "rmse")
    settings = {"time_budget": budget, "n_jobs": N_JOBS, "seed": seed, "verbose": 0}
    return fit(AutoML(task=kind, metric=metric, **settings), X_train, X_test, y_train, y_test, task)


def autogluon(folder: Path, seed: int, budget: float) -> Numbers:
    """AutoGluon, medium quality without neural networks, for at most as many seconds as model_train took."""
    X_train, X_test, y_train, y_test, task = inputs(folder, numeric_dates=False)
    kind = "regression" if not task.labels else "binary" if task.n_classes == 2 else "multiclass"
    with tempfile.TemporaryDirectory() as name:
        files = Path(name)
        X_train.assign(target=y_train).to_parquet(files / "train.parquet", index=False)
        X_test.to_parquet(files / "test.parquet", index=False)
        here = Path(__file__).parent
        command = [sys.executable, "-m", "uv", "run", "--no-project", "--isolated", "--quiet"]
        command += [
            "--python",
            sys.executable,
            "--with-requirements",
            str(here / "requirements-autogluon.txt"),
            "python",
        ]
        command += [str(here / "autogluon_peer.py"), name, kind, str(budget), str(N_JOBS)]
        ended = subprocess.run(command, cwd=name, env=environment(), capture_output=True, text=True)
        if ended.returncode:
            raise RuntimeError(last_line(ended.stderr))
        outputs = pd.read_parquet(files / "predictions.parquet")
        seconds = json.loads((files / "seconds.json").read_text())
    if not task.labels:
        return {"loss": loss(task, y_test, outputs.iloc[:, 0].to_numpy()), "seconds": seconds}
    classes = [int(label) for label in outputs.columns]
    return {"loss": loss(task, y_test, all_classes(outputs.to_numpy(), classes, task)), "seconds": seconds}


PEERS: dict[str, Callable[[Path, int, float], Numbers]] = {
    "lightgbm": lightgbm,
    "catboost": catboost,
    "hist_gradient_boosting": hist_gradient_boosting,
    "flaml": flaml,
    "autogluon": autogluon,
}


def fit(
    model: Any, X_train: pd.DataFrame, X_test: pd.DataFrame, y_train: pd.Series, y_test: pd.Series, task: Any
) -> Numbers:
    """Fit a model; return its loss on the test rows, and the seconds of the fit."""
    import warnings

    from threadpoolctl import threadpool_limits

    warnings.simplefilter("ignore")
    started = time.perf_counter()
    with threadpool_limits(N_JOBS):
        model.fit(X_train, y_train)
    seconds = time.perf_counter() - started
    if task.labels:
        outputs = all_classes(model.predict_proba(X_test), model.classes_, task)
    else:
        outputs = np.asarray(model.predict(X_test))
    return {"loss": loss(task, y_test, outputs), "seconds": seconds}


def all_classes(probabilities: Any, classes: Any, task: Any) -> Any:
    """Return probabilities with a column for each class, also for those without training rows."""
    outputs = np.zeros((len(probabilities), task.n_classes))
    outputs[:, np.asarray(classes, dtype=int)] = probabilities
    return outputs


def loss(task: Any, y_test: pd.Series, outputs: Any) -> float:
    """Return the RMSE or the log loss, as this project computes it."""
    return float(task.score(task.losses(y_test.to_numpy(), np.asarray(outputs, dtype=np.float64))))


def last_line(text: str) -> str:
    """Return the last line of a program's output that has text."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
