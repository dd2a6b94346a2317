"""A store with three experiments, one of them registered, and direct access to its database."""

import hashlib
import json
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from pipeline.store.database import LocalStore, local_path
from pipeline.store.logged_model import LOGGED_SHA256, MODEL_SHA256
from pipeline.store.maintenance.status import local_status
from pipeline.store.open import open_experiment, open_store
from support.folders import Trained, enter, relocate_copy

MODEL = "small-model"
DAY = 86_400_000  # milliseconds


def enter_copied_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """Change to a copied pipeline folder, relocate its store and use it."""
    enter(folder, monkeypatch)
    store = LocalStore(folder / "mlruns" / "mlflow.db")
    if store.exists:
        relocate_copy(store)
    return store


@pytest.fixture(scope="module")
def registered(trained_module: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trained pipeline folder whose winner is a model version; tests copy the folder."""
    folder = tmp_path_factory.mktemp("registered") / "repository"
    shutil.copytree(trained_module.folder, folder, symlinks=True, ignore=shutil.ignore_patterns(".git", "src"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter_copied_folder(folder, monkeypatch)
        client, winner = open_store(), trained_module.experiments[0]
        client.create_registered_model(MODEL)
        client.create_model_version(
            MODEL,
            f"models:/{winner.model_id}",
            winner.run_id,
            tags={tag: client.get_run(winner.run_id).data.tags[tag] for tag in (MODEL_SHA256, LOGGED_SHA256)},
            model_id=winner.model_id,
        )
    return folder


@pytest.fixture
def store(registered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """Return a store for one test, with three experiments, one of them registered; its folder is the current one."""
    folder = tmp_path / "repository"
    shutil.copytree(registered, folder, symlinks=True)
    return enter_copied_folder(folder, monkeypatch)


def query(store: LocalStore, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Return the rows of a query on the store's database."""
    with closing(sqlite3.connect(store.database)) as connection:
        return connection.execute(sql, values).fetchall()


def execute(store: LocalStore, statement: str, *values: object) -> None:
    """Execute a statement on the store's database and commit it."""
    with closing(sqlite3.connect(store.database)) as connection, connection:
        connection.execute(statement, values)


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file except locks, by relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check_intact(store: LocalStore) -> None:
    """Check the database, that nothing is orphaned or missing, and that every location is inside the store."""
    assert query(store, "pragma integrity_check") == [("ok",)]
    assert "nothing is orphaned or missing" in local_status(store)
    for table, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location")):
        for (location,) in query(store, f"select {column} from {table}"):
            assert Path(str(local_path(str(location)))).is_relative_to(store.home)


def predict() -> list[float]:
    """Return predictions of the registered model for five test rows."""
    open_store()
    example = pd.read_parquet("data/processed/test.parquet").head(5).drop(columns="price")
    return [float(value) for value in mlflow.pyfunc.load_model(f"models:/{MODEL}/1").predict(example)]


def has_no_temporary_files(store: LocalStore) -> bool:
    """Return whether the store and its folder are free of temporary files."""
    return not [*store.home.glob(".*.tmp"), *store.home.parent.glob(".*.tmp")]


@pytest.fixture
def old_runs(store: LocalStore, trained_module: Trained) -> dict[str, str]:
    """Add runs of every kind to the store, nearly all ended 40 days ago, and return their IDs by name."""
    client, now = open_store(), int(time.time() * 1000)
    experiment_id = open_experiment(client, "small")
    ids = {}
    for name, status, ended, tags in (
        ("failed", "FAILED", now - 40 * DAY, {}),
        ("killed", "KILLED", now - 40 * DAY, {}),
        ("young", "FAILED", now, {}),
        ("running", None, None, {"stage": "experiment"}),
        ("foreign", "FINISHED", now - 40 * DAY, {}),
        ("winner", "FINISHED", now - 40 * DAY, {"stage": "production_candidate"}),
    ):
        run = client.create_run(experiment_id, start_time=now - 41 * DAY, tags=tags, run_name=name)
        ids[name] = run.info.run_id
        client.log_text(run.info.run_id, "x" * 1000, "x.txt")
        client.log_metric(run.info.run_id, "m", 1.0)
        if status:
            client.set_terminated(run.info.run_id, status, ended)
    execute(store, "update runs set end_time = ? where end_time is not null and name <> 'young'", now - 40 * DAY)
    winner = Path("mlartifacts/training/best_model_info.json")
    winner.write_text(json.dumps({"mlflow_run_id": ids["winner"]}))
    ids |= {f"experiment {number}": experiment.run_id for number, experiment in enumerate(trained_module.experiments)}
    return ids


def remaining(store: LocalStore, ids: dict[str, str]) -> set[str]:
    """Return the names of the runs that are still in the store."""
    remaining_ids = {run_id for (run_id,) in query(store, "select run_uuid from runs")}
    return {name for name, run_id in ids.items() if run_id in remaining_ids}


def is_store_intact(database: Path) -> bool:
    """Check a new database, and that experiment Default stores its artifacts beside it."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert connection.execute("select artifact_location from experiments").fetchall() == [
            ((database.parent / "0").as_uri(),)
        ]
    return True
