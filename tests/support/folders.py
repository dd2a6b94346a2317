"""Small pipeline folders in real git + DVC repositories, and their small table."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.store.database import LocalStore
from pipeline.store.maintenance.relocate import relocate
from pipeline.train.experiments import ExperimentRun
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
    """Return 150 rows with numeric, boolean and text columns, missing values, and column names that XGBoost rejects."""
    rng = np.random.default_rng(0)
    size, rooms = rng.uniform(20, 200, 150), rng.integers(1, 9, 150)
    place = rng.choice(["<1H OCEAN", "INLAND", "NEAR [BAY]"], 150)
    price = 2000 * size + 10_000 * rooms + 50_000 * (place == "<1H OCEAN") + rng.normal(0, 5000, 150)
    size[::17] = np.nan
    return pd.DataFrame(
        {"size <m2>": size, "rooms": rooms, "place": place, "garden": rng.random(150) < 0.5, "price": price.round()}
    )


def write_params(folder: Path) -> None:
    """Write the small table and a params.yaml with a small search."""
    make_table().to_csv(folder / "data.csv", index=False)
    change_params(
        folder,
        dataset={"path": "data.csv", "target": "price", "derived": {"per_room": "`size <m2>` / rooms"}},
        features={"neighbors": {"k": 5, "by": ["size <m2>", "rooms"], "means": ["per_room"]}},
        train={"experiment_name": "small", **SMALL},
        register={"model_name": "small-model", "stage": "Staging"},
    )


def make_template(folder: Path) -> None:
    """Create a git + DVC repository with the small table and a small search, all committed, and no store yet."""
    copy_project(folder)
    write_params(folder)
    git(folder, "config", "core.checkStat", "minimal")  # so that git does not report copied files as changed
    git(folder, "config", "core.trustctime", "false")
    commit(folder, "start")
    git(folder, "repack", "-a", "-d", "--quiet")
    shutil.rmtree(folder / ".git" / "hooks", ignore_errors=True)
    (folder / "mlruns").mkdir()


def make_pipeline_folder(folder: Path, database: Path) -> Path:
    """Copy the template repository that holds `database`: the small table, a small search and an empty store."""
    return Path(shutil.copytree(database.parents[1], folder, symlinks=True))


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to `folder` and use its store."""
    import mlflow

    uri = f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}"
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)  # MLflow would keep the URI of the previous test
    clear_artifact_cache()


def clear_artifact_cache() -> None:
    """Clear MLflow's cache of artifact locations, which is keyed by run ID: copied stores share run IDs.

    MLflow 3.17.2 has no public function for this; a version without the cache needs none.
    """
    from mlflow.tracking._tracking_service import utils

    getattr(utils, "_artifact_repos_cache", {}).clear()


@dataclass(frozen=True)
class Trained:
    """A small pipeline folder and the experiments trained in it, the winner first."""

    folder: Path
    experiments: list[ExperimentRun]


def copy_pipeline_folder(source: Path, target: Path) -> None:
    """Copy a pipeline folder and relocate the copied store."""
    shutil.copytree(source, target, symlinks=True)
    relocate_copy(LocalStore(target / "mlruns" / "mlflow.db"))


def relocate_copy(store: LocalStore) -> None:
    """Relocate a copied store to its new folder, without keeping the backup that `relocate` makes."""
    relocate(store)
    for copy in store.home.glob("mlflow.db.before-relocate-*"):
        copy.unlink()
