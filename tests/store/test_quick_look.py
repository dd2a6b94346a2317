"""Quick looks at a table: src/train.py with and without MLflow, src/run_mlflow.py and its page."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import requests

from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.store.open import open_store
from support.folders import make_table
from support.repositories import ROOT

IRIS = ROOT / "examples/iris/data/raw/iris.csv"
HIDDEN = ("mlflow", "dvc", "optuna", "sqlalchemy", "filelock")


@pytest.fixture
def store(tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder with an empty store the current one."""
    (tmp_path / "mlruns").mkdir()
    shutil.copy(migrated_database, tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}")
    return tmp_path


def numbers_of(printed: str, column: int = 1) -> dict[str, float]:
    """Return the numbers of a printed table's column by their names."""
    rows = [line.replace(",", "").split() for line in printed.splitlines()]
    return {row[0]: float(row[column]) for row in rows if len(row) > column and row[column][:1].isdigit()}


def test_a_look_without_mlflow_prints_metrics_and_writes_a_model_that_takes_raw_rows(
    store: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    make_table().to_csv("data.csv", index=False)
    assert call("train", "data.csv", "--target", "price", "--model", "xgboost", "--output-path", "out/model") == 0
    printed = capsys.readouterr().out
    assert "price: regression" in printed
    metrics = json.loads(Path("out/model/metrics.json").read_text())
    shown = numbers_of(printed)
    assert shown["test_rmse"] == pytest.approx(metrics["test_rmse"], rel=1e-3)
    assert metrics["test_rmse"] < metrics["baseline_rmse"]
    rows = make_table().drop(columns="price").assign(place="MOON")
    predicted = RawRowsModel(Path("out/model")).predict(rows)
    assert predicted.shape == (150,)
    assert not open_store().search_experiments(filter_string="name = 'quick-look'")
    assert sorted(path.name for path in Path("out").iterdir()) == ["model"]


def test_options_of_a_net_reach_it_and_the_share_of_test_rows_is_kept(
    store: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--epochs", "3", "--batch-size", "16", "--learning-rate", "0.01", "--test-size", "0.5")
    arguments = ("--target", "species", "--model", "nn", "--output-path", "net", *options)
    assert call("train", str(IRIS), *arguments) == 0
    assert "74 rows to train on, 75 to test" in capsys.readouterr().out
    net = RawRowsModel(Path("net")).model.named_steps["mlp"]
    assert (net.max_iter <= 3, net.batch_size, net.learning_rate_init) == (True, 16, 0.01)


def test_a_look_needs_neither_mlflow_nor_dvc(tmp_path: Path) -> None:
    packages = Path(sysconfig.get_path("purelib"))
    for entry in packages.iterdir():
        if not entry.name.startswith(HIDDEN):
            (tmp_path / entry.name).symlink_to(entry)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "HOME": os.environ.get("HOME", "/")}
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([base, *command], env=environment, cwd=tmp_path, capture_output=True, text=True)

    assert "No module named 'mlflow'" in run("-c", "import mlflow").stderr
    command = (str(ROOT / "src/train.py"), str(IRIS), "--target", "species")
    plain, warned = run(*command), run(*command, "--use-mlflow")
    assert (plain.returncode, plain.stderr) == (0, "")
    assert numbers_of(plain.stdout)["accuracy"] > 0.85
    assert warned.returncode == 0
    assert warned.stderr.startswith("warning: MLflow is not installed, so nothing is recorded")
    assert numbers_of(warned.stdout)["accuracy"] == numbers_of(plain.stdout)["accuracy"]


def test_all_families_are_recorded_and_compared(
    store: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    models = ("random_forest", "xgboost", "nn")
    assert call("run_mlflow", "--dataset", str(IRIS), "--target", "species", "--models", *models) == 0
    printed = capsys.readouterr().out
    client = open_store()
    experiment = client.get_experiment_by_name("quick-look")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.stage = 'experiment'")
    assert {run.info.status for run in runs} == {"FINISHED"}
    by_family = {run.data.tags["family"]: run for run in runs}
    assert set(by_family) == set(models)
    for family, run in by_family.items():
        name, day, clock = str(run.info.run_name).rsplit("_", 2)
        assert (name, len(day), len(clock)) == (family, 8, 6)
        assert {"n_estimators", "random_state"} <= {key.rpartition("__")[2] for key in run.data.params}
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"confusion_matrix.png", "feature_importance.json", "environment.json", "data_profile.json"} <= files
    best = min(models, key=lambda family: by_family[family].data.metrics["cv_log_loss_mean"])
    assert f"{best} *" in printed
    row = next(line.split() for line in printed.splitlines() if line.startswith("accuracy"))
    found = [by_family[family].data.metrics["accuracy"] for family in models]
    assert [float(cell) for cell in row[1:]] == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "svm"), "'svm' is no model family"),
        (("--test-size", "1.5"), "--test-size is 1.5"),
        (("--epochs", "3"), "--epochs is nothing to random_forest"),
        (("--model", "nn", "--epochs", "0"), "--epochs is 0; it takes whole numbers, 1 or more"),
        (("--model", "nn", "--learning-rate", "-1"), "--learning-rate is -1"),
        (("--use-mlflow", "--experiment-name", "a/b"), "--experiment-name is 'a/b'"),
        (("--output-path", "taken"), "taken exists and is not an empty folder"),
        (("--target", "colour"), "colour"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    store: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    Path("taken").write_text("")
    assert call("train", str(IRIS), "--target", "species", *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert said in error


def test_run_mlflow_says_what_it_lacks(call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run_mlflow") == 2
    assert "--dataset" in capsys.readouterr().err
    assert call("run_mlflow", "--dataset", str(IRIS)) == 2
    assert "--target" in capsys.readouterr().err


def test_the_page_opens_or_says_why_not(
    store: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 5000))
        except OSError:
            pytest.skip("port 5000 is in use on this machine")
        taken.listen()
        assert call("run_mlflow", "--ui") == 2
        assert "port 5000 is taken" in capsys.readouterr().err
    command = [sys.executable, str(ROOT / "src/run_mlflow.py"), "--ui"]
    page = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        deadline, answer = time.monotonic() + 180, None
        while answer is None and time.monotonic() < deadline and page.poll() is None:
            try:
                answer = requests.get("http://127.0.0.1:5000", timeout=2)
            except requests.RequestException:
                time.sleep(0.3)
        assert answer is not None
        assert answer.ok
        assert "MLflow" in answer.text
    finally:
        os.killpg(page.pid, signal.SIGTERM)
        page.communicate(timeout=30)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert call("run_mlflow", "--ui") == 2
    assert "open that address in a browser" in capsys.readouterr().err


def test_light_curves_and_a_rare_label_are_seen_in_a_look(
    store: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.datasets.simulated_light_curves import simulate

    pd.DataFrame(simulate(120, 90).table).to_csv("stars.csv", index=False)
    assert call("train", "stars.csv", "--target", "LABEL") == 0
    printed = capsys.readouterr().out
    assert "light curves become features" in printed
    assert "it is the positive label" in printed
    assert numbers_of(printed)["features"] == 40
