"""The pipeline as users run it: dvc and mlflow commands in a real repository."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from pipeline.store.open import open_store
from support.folders import Trained, make_pipeline_folder
from support.repositories import commit, git, shell

pytestmark = pytest.mark.xdist_group("pipeline")  # share a module-scoped fixture

OUTPUTS = (
    "data/processed/train.parquet",
    "data/processed/test.parquet",
    "models/standard_scaler.pkl",
    "mlartifacts/prepare/data_profile.json",
    "mlartifacts/training/best_model_info.json",
    "mlartifacts/training/best_metrics.json",
    "mlartifacts/training/experiments_summary.json",
    "mlartifacts/registration/registered_model.json",
)


def experiment_runs(folder: Path) -> dict[str, tuple[str, str]]:
    """Return name and status of every experiment run in the folder's store, by run ID."""
    with sqlite3.connect(f"file:{folder}/mlruns/mlflow.db?mode=ro", uri=True) as database:
        rows = database.execute(
            "select run_uuid, name, status from runs where name not like '%candidate%' and name not like '%fold%'"
        )
        return {run_id: (name, status) for run_id, name, status in rows.fetchall()}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Path:
    """Return a repository after `dvc repro`, with everything committed."""
    folder = make_pipeline_folder(tmp_path_factory.mktemp("dvc") / "repository", migrated_database)
    printed = shell(folder, "dvc", "repro")
    assert printed.count("Running stage") == 3
    commit(folder, "results")
    return folder


def test_repro_writes_every_output_and_then_does_nothing(repository: Path) -> None:
    for output in OUTPUTS:
        assert (repository / output).exists()
    assert git(repository, "status", "--porcelain") == ""
    tracked = git(repository, "ls-files").split()
    assert "mlartifacts/training/best_metrics.json" in tracked
    assert not [name for name in tracked if name.endswith(("best_model_info.json", ".parquet", ".pkl", ".db"))]
    assert "Running stage" not in shell(repository, "dvc", "repro")
    assert set(experiment_runs(repository).values()) == {
        ("exp1_tuned", "FINISHED"),
        ("exp2_important_features", "FINISHED"),
        ("exp3_tuned_selected", "FINISHED"),
    }


def test_mlflow_run_uses_the_store_of_the_repository(repository: Path) -> None:
    before = experiment_runs(repository)
    assert "up to date" in shell(repository, "mlflow", "run", ".", "--env-manager", "local")
    register = ("--env-manager", "local", "--entry-point", "register", "--param-list", "stage=Staging")
    assert "has stage Staging" in shell(repository, "mlflow", "run", ".", *register)
    assert experiment_runs(repository) == before
    assert git(repository, "status", "--porcelain") == ""


def test_every_kind_of_dvc_experiment_keeps_its_runs_and_metrics(repository: Path) -> None:
    first = json.loads((repository / "mlartifacts/training/best_model_info.json").read_text())["mlflow_run_id"]

    printed = shell(repository, "dvc", "exp", "run", "-S", "train.search.max_rounds=6")
    assert "Stage 'prepare' didn't change" in printed
    assert "Running stage 'model_train'" in printed
    assert "Running stage 'model_register'" in printed
    assert "max_rounds" in shell(repository, "dvc", "params", "diff")
    assert "test_rmse" in shell(repository, "dvc", "metrics", "diff")
    assert len(experiment_runs(repository)) == 6

    shell(repository, "dvc", "exp", "run", "--temp", "-S", "train.search.max_rounds=7")
    assert len(experiment_runs(repository)) == 9
    shell(repository, "dvc", "exp", "run", "--queue", "-S", "train.search.max_rounds=8")
    shell(repository, "dvc", "exp", "run", "--run-all")
    runs = experiment_runs(repository)
    assert len(runs) == 12
    assert {status for _, status in runs.values()} == {"FINISHED"}
    assert len(list(repository.glob("mlruns/small/*/artifacts/residuals.png"))) == 12
    table = shell(repository, "dvc", "exp", "show", "--csv")
    assert table.count("branch_") == 3

    git(repository, "checkout", "--quiet", "--", ".")
    printed = shell(repository, "dvc", "repro")
    assert "Running stage 'model_train'" in printed
    last = json.loads((repository / "mlartifacts/training/best_model_info.json").read_text())["mlflow_run_id"]
    assert last in experiment_runs(repository)
    assert last != first
    assert git(repository, "status", "--porcelain") in ("", "M dvc.lock")
    git(repository, "checkout", "--quiet", "--", ".")

    shell(repository, "dvc", "plots", "show", "--out", "plots")
    page = (repository / "plots" / "index.html").read_text()
    assert all(title in page for title in ("learning curve", "predicted and actual", "importance"))
    shutil.rmtree(repository / "plots")


def test_register_names_the_command_that_repairs_a_lost_run(repository: Path) -> None:
    info = repository / "mlartifacts/training/best_model_info.json"
    before = info.read_text()
    info.write_text(json.dumps(json.loads(before) | {"mlflow_run_id": "f" * 32}))
    done = subprocess.run(
        [sys.executable, "src/model_register.py", "--stage", "Production"],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    info.write_text(before)
    assert done.returncode == 2
    assert "dvc repro -f -s model_train" in done.stderr
    assert "Traceback" not in done.stderr


def test_documented_query_finds_the_best_run(trained: Trained) -> None:
    client = open_store()
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.test_rmse ASC"])
    ids = {each.run_id for each in trained.experiments}  # the store also holds trainings of other tests
    best = next(run for run in runs if run.info.run_id in ids)
    assert best.data.metrics["test_rmse"] == min(each.fitted.metrics["test_rmse"] for each in trained.experiments)
    assert type(mlflow.xgboost.load_model(f"runs:/{best.info.run_id}/model")).__name__ == "XGBRegressor"
