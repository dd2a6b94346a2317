import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Trained
from pipeline.errors import StoreError
from pipeline.paths import checkout_of
from pipeline.tracking import open_experiment, open_store, store_uri
from repositories import ROOT


def test_four_processes_open_a_new_store_at_once(tmp_path: Path) -> None:
    code = "from pipeline.tracking import *; print(open_experiment(open_store(), 'first'))"
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}",
        "PYTHONPATH": str(ROOT / "src"),
    }
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    experiment_ids = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert len(set(experiment_ids)) == 1


def test_the_store_is_the_main_checkouts_unless_the_environment_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store_uri() == f"sqlite:///{ROOT / 'mlruns' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert store_uri() == "http://127.0.0.1:1"
    for clone in (".dvc/tmp/exps/tmp1", ".dvc/tmp/exps/standalone/tmp2"):
        (tmp_path / clone / ".dvc").mkdir(parents=True)
        assert checkout_of(tmp_path / clone / "examples" / "iris") == tmp_path / "examples" / "iris"
        assert checkout_of(tmp_path / clone) == tmp_path
    assert checkout_of(tmp_path / "src") == tmp_path / "src"


def test_artifacts_lie_beside_the_database(pipeline_folder: Path) -> None:
    client = open_store()
    experiment = client.get_experiment(open_experiment(client, "new"))
    assert experiment.artifact_location == (pipeline_folder / "mlruns" / "new").as_uri()
    assert open_experiment(client, "new") == experiment.experiment_id


def test_a_moved_store_is_noticed(pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_experiment(open_store(), "new")
    shutil.move("mlruns", "moved")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{pipeline_folder / 'moved' / 'mlflow.db'}")
    with pytest.raises(StoreError, match="was moved"):
        open_experiment(open_store(), "new")


def test_a_deleted_experiment_is_named_with_its_remedy(pipeline_folder: Path) -> None:
    client = open_store()
    experiment_id = open_experiment(client, "new")
    client.delete_experiment(experiment_id)
    with pytest.raises(StoreError, match=f"mlflow experiments restore --experiment-id {experiment_id}"):
        open_experiment(client, "new")


@pytest.mark.parametrize(
    "uri", ["sqlite:////proc/none/mlflow.db", "sqlite:///{}/text.db", "http://u:secret@127.0.0.1:9"]
)
def test_a_store_that_cannot_be_used_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    (tmp_path / "text.db").write_text("no database, but a text of some length\n" * 50)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreError, match="cannot be used") as raised:
        open_store()
    assert "secret" not in str(raised.value)


def test_sigterm_ends_the_run_as_failed(pipeline_folder: Path) -> None:
    subprocess.run([sys.executable, "src/prepare.py"], check=True, capture_output=True)
    params = Path("params.yaml").read_text().replace("n_candidates: 2", "n_candidates: 999")
    Path("params.yaml").write_text(params.replace("- 3\n", "- 3\n      - 5\n").replace("- 0.3\n", LEARNING_RATES))
    training = subprocess.Popen([sys.executable, "src/model_train.py"], stdout=subprocess.PIPE)
    database = sqlite3.connect("file:mlruns/mlflow.db?mode=ro", uri=True)
    deadline = time.monotonic() + 60
    while not database.execute("select 1 from runs where name like '%candidate_003'").fetchall():
        assert training.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    training.send_signal(signal.SIGTERM)
    training.communicate(timeout=60)
    assert training.returncode == 143
    status = dict(database.execute("select name, status from runs where name like 'exp1_tuned%'").fetchall())
    database.close()
    assert status["exp1_tuned"] == "FAILED"
    assert not Path("mlartifacts/training").exists()


LEARNING_RATES = "".join(f"- {rate / 1000}\n      " for rate in range(1, 400)).rstrip() + "\n"


def test_help_imports_nothing_heavy() -> None:
    for script in sorted((ROOT / "src").glob("*.py")):
        code = f"import sys, runpy; sys.argv = ['x', '--help']; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
        code += f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        code += "except SystemExit as stop: assert not stop.code\n"
        code += "assert not {'numpy', 'pandas', 'mlflow', 'xgboost', 'pydantic'} & set(sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "usage:" in done.stdout


def test_an_interrupt_ends_quietly(trained: Trained, call: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.params.load_params", interrupt)
    assert call("prepare") == 130
