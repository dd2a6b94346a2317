"""Small pipeline folders, in real git + DVC repositories, and a small table."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.store.care.relocate import relocate
from pipeline.store.database import LocalStore
from pipeline.train.experiments import Experiment
from support.repositories import change_params, commit, copy_project, git

SMALL = {
    "cv_folds": 3,
    "search": {
        "n_candidates": 2,
        "max_rounds": 12,
        "early_stopping_rounds": 4,
        "space": {"xgboost": {"max_depth": [3, 4], "learning_rate": [0.3, 0.5]}},
    },
    "explain_rows": 50,
}


def make_table() -> pd.DataFrame:
    """Return 150 rows with numbers, text, missing values, and names that XGBoost refuses."""
    rng = np.random.default_rng(0)
    size, rooms = rng.uniform(20, 200, 150), rng.integers(1, 9, 150)
    place = rng.choice(["<1H OCEAN", "INLAND", "NEAR [BAY]"], 150)
    price = 2000 * size + 10_000 * rooms + 50_000 * (place == "<1H OCEAN") + rng.normal(0, 5000, 150)
    size[::17] = np.nan
    return pd.DataFrame(
        {"size <m2>": size, "rooms": rooms, "place": place, "garden": rng.random(150) < 0.5, "price": price.round()}
    )


def write_params(folder: Path) -> None:
    """Write the small table and a params.yaml with a small search on it."""
    make_table().to_csv(folder / "data.csv", index=False)
    change_params(
        folder,
        dataset={"path": "data.csv", "target": "price", "derived": {"per_room": "`size <m2>` / rooms"}},
        features={"neighbors": {"k": 5, "by": ["size <m2>", "rooms"], "means": ["per_room"]}},
        train={"experiment_name": "small", **SMALL},
        register={"model_name": "small-model", "stage": "Staging"},
    )


def make_template(folder: Path) -> None:
    """Make a git + DVC repository with the small table and a small search, committed; its store is yet to be made."""
    copy_project(folder)
    write_params(folder)
    git(folder, "config", "core.checkStat", "minimal")  # a copy is no change
    git(folder, "config", "core.trustctime", "false")
    commit(folder, "start")
    git(folder, "repack", "-a", "-d", "--quiet")
    shutil.rmtree(folder / ".git" / "hooks", ignore_errors=True)
    (folder / "mlruns").mkdir()


def make_pipeline_folder(folder: Path, database: Path) -> Path:
    """Copy a git + DVC repository with the small table, a small search, and an empty store, which is `database`."""
    return Path(shutil.copytree(database.parents[1], folder, symlinks=True))


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `folder` the current folder and its store the one that is used."""
    import mlflow

    uri = f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}"
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)  # or it would be that of the test before
    forget_artifact_places()


def forget_artifact_places() -> None:
    """Let MLflow look up again where the files of runs are: it keeps that by run id, and copied stores share ids.

    Read in MLflow 3.17.2, which offers no way to say so; a version that keeps nothing needs none.
    """
    from mlflow.tracking._tracking_service import utils

    getattr(utils, "_artifact_repos_cache", {}).clear()


@dataclass(frozen=True)
class Trained:
    """A small pipeline folder and the experiments that were run in it, the winner first."""

    folder: Path
    experiments: list[Experiment]


def copy_settled(source: Path, target: Path) -> None:
    """Copy a pipeline folder, and let the copied store know where its files are now."""
    shutil.copytree(source, target, symlinks=True)
    settle(LocalStore(target / "mlruns" / "mlflow.db"))


def settle(store: LocalStore) -> None:
    """Let a copied store know where its files are now."""
    relocate(store)
    for copy in store.home.glob("mlflow.db.before-relocate-*"):
        copy.unlink()
