"""One experiment of every model family on every task."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run

from pipeline.learn.families import is_installed
from pipeline.params.load import load_params
from pipeline.params.schema import Params
from pipeline.prepare.stage import prepare
from pipeline.store.open import open_store
from pipeline.support.paths import TEST_TABLE
from pipeline.train.evaluation import Evaluation
from pipeline.train.experiments import ExperimentRun, Plan, Setup, run_experiment
from pipeline.train.tables import Tables, load_tables
from support.figures import without_figures
from support.folders import enter, make_pipeline_folder, make_table
from support.repositories import change_params, git

FAMILIES: Sequence[str] = tuple(filter(is_installed, ("lightgbm", "nn", "random_forest", "xgboost")))
TARGETS = {"regression": "price", "binary": "garden", "multiclass": "place"}
# Experiments with real figures: each task and each family once.
DRAWN = {("regression", "xgboost"), ("binary", "nn"), ("multiclass", "random_forest")}
TRAIN: dict[str, Any] = {
    "experiment_name": "standard",
    "models": list(FAMILIES),
    "params": {"nn": {"max_iter": 4}, "random_forest": {"n_estimators": 7}},
    "cv_folds": 2,
    "search": {
        "n_candidates": 2,
        "max_rounds": 6,
        "space": {
            "lightgbm": {"num_leaves": [2, 4]},
            "nn": {"alpha": [0.01, 0.1]},
            "random_forest": {"min_samples_leaf": [2, 4]},
            "xgboost": {"max_depth": [2, 3], "learning_rate": [0.3]},
        },
    },
    "explain_rows": 10,
}


@dataclass(frozen=True)
class Standard:
    """One experiment and the tables and commit that it was trained on."""

    kind: str
    family: str
    experiment: ExperimentRun
    tables: Tables
    test: pd.DataFrame
    commit: str

    @property
    def loss(self) -> str:
        return "rmse" if self.kind == "regression" else "log_loss"

    @property
    def run(self) -> Run:
        return open_store().get_run(self.experiment.run_id)

    @property
    def model_uri(self) -> str:
        return f"runs:/{self.experiment.run_id}/model"

    def json(self, name: str) -> Any:
        return mlflow.artifacts.load_dict(f"{self.run.info.artifact_uri}/{name}")


def open_setup(folder: Path, params: Params) -> tuple[Tables, Setup]:
    """Prepare the folder; return its tables and the inputs of its experiment runs."""
    prepare(params.dataset, folder)
    tables = load_tables(folder, params)
    evaluation = Evaluation.from_params(params.evaluate, tables.data, tables.rows, folder)
    return tables, Setup.open(params, tables, evaluation, folder)


def run_all(folder: Path, kind: str, families: Sequence[str] = FAMILIES) -> Iterator[Standard]:
    """Prepare the folder for a kind of task and run one experiment of each family."""
    task = "regression" if kind == "regression" else "classification"
    dataset = {"path": "data.csv", "target": TARGETS[kind], "task": task}
    change_params(folder, dataset=dataset, train=TRAIN)
    git(folder, "commit", "--quiet", "--all", "--message", kind)
    tables, setup = open_setup(folder, load_params())
    test, head = pd.read_parquet(folder / TEST_TABLE), git(folder, "rev-parse", "HEAD")
    for name in families:
        with nullcontext() if (kind, name) in DRAWN else without_figures():
            experiment = run_experiment(setup, Plan(name, f"{kind}_{name}", tables.data.features, search_seed=5))
        yield Standard(kind, name, replace(experiment, fitter=None), tables, test, head)


def make_standard(place: Path, database: Path) -> None:
    """Run all families on all tasks; the folder stays prepared for the last task, binary."""
    folder = make_folder(place / "repository", database)
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(folder, monkeypatch)
        kinds = ("multiclass", "regression", "binary")
        joblib.dump([standard for kind in kinds for standard in run_all(folder, kind)], place / "experiments.pkl")


def load_standard(place: Path) -> tuple[Path, dict[tuple[str, str], Standard]]:
    """Return the folder that `make_standard` created and its experiments by task and family."""
    experiments: list[Standard] = joblib.load(place / "experiments.pkl")
    return place / "repository", {(standard.kind, standard.family): standard for standard in experiments}


def make_folder(folder: Path, database: Path) -> Path:
    """Create a pipeline folder whose table has a regression, a binary and a multiclass target."""
    make_pipeline_folder(folder, database)
    table, rng = make_table(), np.random.default_rng(1)
    table["garden"] = table["size <m2>"].fillna(100) + rng.normal(0, 30, len(table)) > 120
    table.to_csv(folder / "data.csv", index=False)
    change_params(folder, features={"neighbors": {"k": 5, "by": ["size <m2>", "rooms"]}})
    return folder
