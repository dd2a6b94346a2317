"""Retraining on recorded and labeled predictions, in a real git + DVC repository with a version in Production."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.params.load import load_params
from pipeline.register.stage import Registration, register
from pipeline.register.versions import version_in_stage
from pipeline.retrain.drift import has_drifted
from pipeline.retrain.pipeline_run import retraining_lock
from pipeline.service.models.loading import find_in_registry, load_model
from pipeline.service.recording.read import read_predictions
from pipeline.service.recording.recorder import Recorder
from pipeline.service.records import PredictionRecord
from pipeline.service.settings import load_settings
from pipeline.store.open import open_store
from pipeline.support.files import sha256
from pipeline.support.paths import TEST_TABLE, TRAIN_TABLE
from pipeline.tables.read import read_table
from support.folders import Trained, copy_pipeline_folder, enter, make_table
from support.repositories import ROOT, change_params, git

pytestmark = pytest.mark.xdist_group("retrain")  # share a module-scoped fixture

N_ROWS = 300
PREDICTIONS, LABELS, EXTENDED = Path("data/predictions"), Path("data/labels.csv"), Path("data+recorded.parquet")


@pytest.fixture(scope="module")
def in_production(trained_session: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trained pipeline folder with a version in Production."""
    folder = tmp_path_factory.mktemp("retrain") / "repository"
    copy_pipeline_folder(trained_session.folder, folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(folder, monkeypatch)
        register(load_params().registry, folder, Registration("Production"))
    return folder


@pytest.fixture
def folder(in_production: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return that folder, as the current folder."""
    enter(in_production, monkeypatch)
    return in_production


def request_rows(rng: np.random.Generator, drifted: bool) -> pd.DataFrame:
    """Return rows sent to the service, with their actual prices."""
    rows = make_table().sample(N_ROWS, replace=True, random_state=1, ignore_index=True)
    if drifted:
        rows["size <m2>"] *= 2
        rows["price"] = 900 * rows["size <m2>"].fillna(200) + 300_000 + rng.normal(0, 5000, N_ROWS)
    return rows


def record(rows: pd.DataFrame) -> list[str]:
    """Predict rows with the model in Production, record the predictions as the service does, and return their IDs."""
    shutil.rmtree(PREDICTIONS, ignore_errors=True)
    client = open_store()
    model, _ = load_model(find_in_registry(client, load_settings("small-model"), None), client)
    columns = {name: [None if pd.isna(value) else value for value in rows[name].tolist()] for name in model.kinds}
    ids = [f"session-{number}" for number in range(len(rows))]
    recorder = Recorder(PREDICTIONS, 10_000)
    recorder.start()
    outputs = model.predict(columns, len(rows))
    recorder.put(PredictionRecord(time.time(), ids, "production", model.identity, columns, outputs, 1.0))
    recorder.stop(20)
    return ids


def production_version() -> str:
    """Return the number of the version in Production."""
    return str(version_in_stage(open_store(), "small-model", "Production").version)


def test_without_drift_nothing_is_retrained(
    folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    record(request_rows(np.random.default_rng(0), drifted=False))
    before = git(folder, "status", "--porcelain")
    assert call("retrain", "--if-drifted") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.endswith(
        f"retrain: no drift in the most recent {N_ROWS} predictions of small-model version 1: nothing to do\n"
    )
    assert git(folder, "status", "--porcelain") == before

    record(request_rows(np.random.default_rng(0), drifted=True).head(150))
    assert call("retrain", "--if-drifted") == 0
    assert (
        "150 predictions of small-model version 1 are recorded, too few to check for drift" in capsys.readouterr().out
    )
    with retraining_lock(folder):
        assert call("retrain") == 2
    assert "another retraining is running in" in capsys.readouterr().err
    shutil.rmtree(PREDICTIONS)
    assert call("retrain", "--if-drifted") == 2
    assert "holds no recorded predictions" in capsys.readouterr().err


def test_drift_with_labels_retrains_a_model_for_the_gate(
    folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = request_rows(np.random.default_rng(1), drifted=True)
    ids = record(rows)
    change_params(folder, register={"model_name": "small-model", "gate": {"min_improvement": 100}})
    git(folder, "commit", "--quiet", "--message", "a gate that nothing passes", "params.yaml")
    assert call("retrain", "--if-drifted") == 2
    assert "data/labels.csv does not exist" in capsys.readouterr().err
    pd.DataFrame({"prediction_id": ids, "price": rows["price"]}).head(200).to_csv(LABELS, index=False)
    original = sha256(folder / "data.csv")
    sides = {path: pd.read_parquet(path) for path in (TRAIN_TABLE, TEST_TABLE)}

    # When it is stopped midway, it ends its child processes, and the next retraining continues.
    command = [sys.executable, str(ROOT / "src" / "retrain.py"), "--if-drifted"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout)
        output = "".join(takewhile(lambda line: "Running stage 'model_train'" not in line, lines))
        assert process.poll() is None, output
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (errors, process.returncode) == ("stopped\n", 143)
    written = sha256(EXTENDED)

    assert call("retrain", "--if-drifted") == 3
    printed = capsys.readouterr()
    assert f"retrain: drift in the most recent {N_ROWS} predictions of small-model version 1\n" in printed.out
    assert "retrain:   size <m2>: distribution differs from training (PSI " in printed.out
    assert "retrain: 300 predictions recorded, 200 with a label, 100 without" in printed.out
    assert "retrain: data+recorded.parquet: 150 rows of the table and 200 labeled predictions, 0 of them new" in (
        printed.out
    )
    assert "  | Stage 'prepare' didn't change, skipping" in printed.out
    assert "  | model_train: " in printed.out
    assert "better in rmse (10,000 % required)" in printed.out
    assert "among its training rows" not in printed.out  # because no row moves between training and test set:
    for path, before in sides.items():
        now = pd.read_parquet(path)
        assert now.iloc[: len(before)].equals(before)
        assert 0 < len(now) - len(before) < 200
    assert printed.err.startswith("refused: run ")
    assert (production_version(), sha256(EXTENDED), sha256(folder / "data.csv")) == ("1", written, original)
    assert load_params().dataset.path == str(EXTENDED)

    # The same data is not trained on again; with a lower bar, the gate promotes the model.
    text = (folder / "params.yaml").read_text()
    assert "min_improvement: 100" in text
    (folder / "params.yaml").write_text(text.replace("min_improvement: 100", "min_improvement: 0"))
    assert call("retrain") == 0
    printed = capsys.readouterr()
    assert "Running stage 'model_train'" not in printed.out
    assert "small-model version 2 has stage Production" in printed.out
    assert (production_version(), sha256(EXTENDED)) == ("2", written)
    assert read_table(EXTENDED).tail(200)["price"].tolist() == rows["price"].head(200).tolist()


def test_version_without_predictions_has_no_drift(folder: Path) -> None:
    record(request_rows(np.random.default_rng(2), drifted=True))
    predictions = read_predictions(folder / PREDICTIONS, "small-model")
    other_version = predictions.set_column(3, "model_version", pa.array([99] * N_ROWS)).drop_columns("input.rooms")
    assert predictions.column_names[3] == "model_version"
    assert not has_drifted(other_version, load_params().monitor, load_settings("small-model"))
