import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from alembic.script import ScriptDirectory
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from pipeline.errors import StoreError
from pipeline.store.database import reading
from pipeline.store.open import open_experiment, open_store, still_open, store_uri, without_password
from pipeline.support.paths import checkout_of
from support.folders import SMALL
from support.repositories import ROOT, change_params
from support.zygote import Zygote


def test_four_processes_open_a_new_store_at_once(tmp_path: Path) -> None:
    code = "from pipeline.store.open import *; print(open_experiment(open_store(), 'first'))"
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
    with pytest.raises(StoreError, match=f"was moved.*\n.*relocate --from {pipeline_folder}/mlruns"):
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


def test_a_database_that_was_replaced_is_opened_anew(pipeline_folder: Path, migrated_database: Path) -> None:
    client, database, kept = open_store(), Path("mlruns/mlflow.db"), Path("kept.db")
    client.create_experiment("before")
    assert still_open(client) is client
    database.rename(kept)
    with pytest.raises(StoreError, match="its database is gone"):
        still_open(client)
    assert not database.exists()
    shutil.copy(migrated_database, database)
    assert still_open(client).get_experiment_by_name("before") is None
    kept.replace(database)
    assert still_open(client).get_experiment_by_name("before") is not None


def test_an_mlflow_whose_connections_cannot_be_closed_is_no_traceback(
    pipeline_folder: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_store()
    shutil.copy(migrated_database, "another.db")
    Path("another.db").replace("mlruns/mlflow.db")
    monkeypatch.delattr(SqlAlchemyStore, "_engine_map")
    with pytest.raises(StoreError, match=r"was replaced(?s:.*)start this program again"):
        still_open(client)


@pytest.mark.parametrize(
    "uri", ["postgresql://u:s3c#r/e?t@h/db", "postgresql://h/db?user=u&password=s3c%23r", "x://u:s@h"]
)
def test_no_password_is_shown(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    shown = without_password(f"cannot reach {uri}")
    assert "***" in shown
    assert "s3c" not in shown
    assert ":s@" not in shown


def test_a_signal_ends_the_run_as_failed(pipeline_folder: Path) -> None:
    space = {"xgboost": {"gamma": {"low": 0.0, "high": 1.0}}}
    long = {**SMALL, "search": {"n_candidates": 9999, "max_rounds": 5, "space": space}}
    change_params(pipeline_folder, train={"experiment_name": "small", **long})
    subprocess.run([sys.executable, "src/prepare.py"], check=True, capture_output=True)
    rng = random.Random(0)
    database = sqlite3.connect("file:mlruns/mlflow.db?mode=ro", uri=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        before = database.execute("select count(*) from runs").fetchone()[0]
        training = subprocess.Popen(
            [sys.executable, "src/model_train.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 120
        while database.execute("select count(*) from runs").fetchone()[0] < before + 5:
            assert training.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(rng.random() / 5)
        training.send_signal(number)
        _, printed = training.communicate(timeout=120)
        assert (training.returncode, printed) == (128 + number, "stopped\n")
    status = database.execute(
        "select status, value from runs join tags using (run_uuid) where name = 'exp1_tuned' and key = 'error'"
    ).fetchall()
    database.close()
    assert status == [("FAILED", "stopped by a signal")] * 3
    assert not Path("mlartifacts/training/best_model_info.json").exists()


def test_help_imports_nothing_heavy() -> None:
    for script in sorted((ROOT / "src").glob("*.py")):
        code = f"import sys, runpy; sys.argv = ['x', '--help']; sys.path.insert(0, {str(ROOT / 'src')!r})\n"
        code += f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        code += "except SystemExit as stop: assert not stop.code\n"
        code += "assert not {'numpy', 'pandas', 'mlflow', 'xgboost', 'pydantic'} & set(sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "usage:" in done.stdout


def test_a_new_store_survives_kills(
    tmp_path: Path, zygote: Zygote, monkeypatch: pytest.MonkeyPatch, told: Callable[[str], None]
) -> None:
    rng, longest, survived = random.Random(4), 0.0, 0
    for number in range(7):
        place = tmp_path / str(number)
        place.mkdir()
        database = place / "mlruns" / "mlflow.db"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        if number == 0:
            longest = zygote.run(place, "store", "prune")
        else:
            pid = zygote.start(place, "store", "prune")
            time.sleep(rng.random() * longest)
            os.kill(pid, signal.SIGKILL)
            survived += zygote.wait(pid)[0] == -signal.SIGKILL
            assert not database.exists() or store_is_whole(database)
        if number in (0, 6):  # a migration takes seconds
            zygote.run(place, "store", "prune")
            assert store_is_whole(database)
            assert {path.name for path in database.parent.iterdir()} == {"mlflow.db", "mlflow.lock"}
    told(f"store creation: {survived} kills survived")


def store_is_whole(database: Path) -> bool:
    """Check a database, and that experiment Default has its place beside it."""
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert connection.execute("select artifact_location from experiments").fetchall() == [
            ((database.parent / "0").as_uri(),)
        ]
    return True


def test_an_empty_file_and_an_old_journal_do_not_spoil_a_new_store(
    pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = pipeline_folder / "other"
    place.mkdir()
    (place / "mlflow.db").touch()
    with closing(sqlite3.connect(place / "old.db", isolation_level=None)) as old:
        old.executescript(
            "pragma cache_size = 1; create table x (y); begin; insert into x values (randomblob(100000));"
        )
        shutil.copy(place / "old.db-journal", place / "mlflow.db-journal")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'mlflow.db'}")
    open_store()
    assert not (place / "mlflow.db-journal").exists()
    assert store_is_whole(place / "mlflow.db")


@pytest.mark.parametrize(
    ("change", "problem", "remedy"),
    [
        ("update alembic_version set version_num = '{}'", "of an older MLflow", "store.py backup && mlflow db upgrade"),
        ("update alembic_version set version_num = 'ffffffffffff'", "of a newer MLflow", "install the MLflow"),
        ("drop table alembic_version", "no finished MLflow database", "move it away"),
    ],
)
def test_a_database_of_another_mlflow_is_left_alone(
    pipeline_folder: Path, change: str, problem: str, remedy: str
) -> None:
    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    older = scripts.get_revision(scripts.get_current_head()).down_revision
    with closing(sqlite3.connect("mlruns/mlflow.db")) as connection, connection:
        connection.execute(change.format(older))
    before = Path("mlruns/mlflow.db").read_bytes()
    with pytest.raises(StoreError, match=problem) as raised:
        open_store()
    assert remedy in raised.value.remedy
    assert Path("mlruns/mlflow.db").read_bytes() == before


def test_what_a_killed_process_left_half_written_is_rolled_back(migrated_database: Path, tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    shutil.copy(migrated_database, database)
    code = (
        "import os, sqlite3, sys; database = sqlite3.connect(sys.argv[1]); database.execute('pragma cache_size = 1');"
        "database.execute('update experiments set name = 1'); database.execute('create table filled (a)');"
        "database.executemany('insert into filled values (?)', [('x' * 1000,)] * 5000);"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(database)], check=False)
    assert database.with_name("mlflow.db-journal").stat().st_size > 0
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True).execute("select * from experiments")
    with reading(database) as connection:
        assert connection.execute("select name from experiments").fetchall() == [("Default",)]
    assert not database.with_name("mlflow.db-journal").exists()


OF_FINALIZER = """
class Finalized:
    def __del__(self):
        stop()
def main():
    Finalized()
    time.sleep(20)
"""
OF_XGBOOST = """
import numpy, xgboost
from xgboost.data import SingleBatchInternalIter
read = SingleBatchInternalIter.next
def read_and_stop(self, take):
    stop()
    return read(self, take)
SingleBatchInternalIter.next = read_and_stop
def main():
    xgboost.QuantileDMatrix(numpy.eye(9), label=numpy.ones(9))
    time.sleep(20)
"""


@pytest.mark.parametrize("code", [OF_FINALIZER, OF_XGBOOST], ids=["finalizer", "xgboost"])
def test_a_signal_in_what_c_calls_is_not_lost(tmp_path: Path, code: str) -> None:
    (tmp_path / "script.py").write_text(
        "import os, signal, time\n"
        "from pipeline.cli import run_script\n"
        "def stop():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(0.01)\n"
        f"{code}"
        "run_script(main)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=15
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "stopped\n")
