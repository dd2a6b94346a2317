"""Opening a store: its address, its location, and a database that cannot be used."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from alembic.script import ScriptDirectory
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from pipeline.errors import StoreError
from pipeline.store.open import mask_passwords, open_experiment, open_store, refresh_client, store_uri
from pipeline.store.ui import how_to_view
from pipeline.support.paths import main_checkout_path
from support.repositories import ROOT
from support.stores import is_store_intact


def test_default_store_is_that_of_the_main_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_uri() == f"sqlite:///{ROOT / 'mlruns' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert store_uri() == "http://127.0.0.1:1"
    for clone in (".dvc/tmp/exps/tmp1", ".dvc/tmp/exps/standalone/tmp2"):
        (tmp_path / clone / ".dvc").mkdir(parents=True)
        assert main_checkout_path(tmp_path / clone / "examples" / "iris") == tmp_path / "examples" / "iris"
        assert main_checkout_path(tmp_path / clone) == tmp_path
    assert main_checkout_path(tmp_path / "src") == tmp_path / "src"


def test_the_command_that_shows_the_runs_fits_the_current_folder(
    empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert how_to_view("x") == f"MLFLOW_TRACKING_URI={store_uri()} {command_from(empty_store)}"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert how_to_view("x") == command_from(empty_store)
    monkeypatch.chdir(ROOT / "examples" / "iris")
    assert how_to_view("x") == "python ../../src/run_mlflow.py --ui"


def command_from(folder: Path) -> str:
    return f"python {os.path.relpath(ROOT / 'src' / 'run_mlflow.py', folder)} --ui"


def test_artifacts_are_stored_beside_the_database(pipeline_folder: Path) -> None:
    client = open_store()
    experiment = client.get_experiment(open_experiment(client, "new"))
    assert experiment.artifact_location == (pipeline_folder / "mlruns" / "new").as_uri()
    assert open_experiment(client, "new") == experiment.experiment_id


def test_moved_store_is_detected(pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_experiment(open_store(), "new")
    shutil.move("mlruns", "moved")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{pipeline_folder / 'moved' / 'mlflow.db'}")
    with pytest.raises(StoreError, match=f"was moved.*\n.*relocate --from {pipeline_folder}/mlruns"):
        open_experiment(open_store(), "new")


def test_deleted_experiment_error_names_the_restore_command(pipeline_folder: Path) -> None:
    client = open_store()
    experiment_id = open_experiment(client, "new")
    client.delete_experiment(experiment_id)
    with pytest.raises(StoreError, match=f"mlflow experiments restore --experiment-id {experiment_id}"):
        open_experiment(client, "new")


@pytest.mark.parametrize(
    "uri", ["sqlite:////proc/none/mlflow.db", "sqlite:///{}/text.db", "http://u:secret@127.0.0.1:9"]
)
def test_unusable_store_raises_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    (tmp_path / "text.db").write_text("not a database, but a text of some length\n" * 50)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(tmp_path))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreError, match="cannot be used") as raised:
        open_store()
    assert "secret" not in str(raised.value)


def test_replaced_database_is_reopened(pipeline_folder: Path, migrated_database: Path) -> None:
    client, database, original = open_store(), Path("mlruns/mlflow.db"), Path("original.db")
    client.create_experiment("before")
    assert refresh_client(client) is client
    database.rename(original)
    with pytest.raises(StoreError, match="its database no longer exists"):
        refresh_client(client)
    assert not database.exists()
    shutil.copy(migrated_database, database)
    assert refresh_client(client).get_experiment_by_name("before") is None
    original.replace(database)
    assert refresh_client(client).get_experiment_by_name("before") is not None


def test_connections_that_cannot_be_closed_raise_a_store_error(
    pipeline_folder: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_store()
    shutil.copy(migrated_database, "another.db")
    Path("another.db").replace("mlruns/mlflow.db")
    monkeypatch.delattr(SqlAlchemyStore, "_engine_map")
    with pytest.raises(StoreError, match=r"was replaced(?s:.*)restart this program"):
        refresh_client(client)


@pytest.mark.parametrize(
    "uri", ["postgresql://u:s3c#r/e?t@h/db", "postgresql://h/db?user=u&password=s3c%23r", "x://u:s@h"]
)
def test_passwords_are_masked(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    message = mask_passwords(f"cannot reach {uri}")
    assert "***" in message
    assert "s3c" not in message
    assert ":s@" not in message


def test_empty_file_and_old_journal_do_not_corrupt_a_new_store(
    pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pipeline_folder / "other"
    folder.mkdir()
    (folder / "mlflow.db").touch()
    with closing(sqlite3.connect(folder / "old.db", isolation_level=None)) as old:
        old.executescript(
            "pragma cache_size = 1; create table x (y); begin; insert into x values (randomblob(100000));"
        )
        shutil.copy(folder / "old.db-journal", folder / "mlflow.db-journal")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    open_store()
    assert not (folder / "mlflow.db-journal").exists()
    assert is_store_intact(folder / "mlflow.db")


@pytest.mark.parametrize(
    ("change", "problem", "remedy"),
    [
        ("update alembic_version set version_num = '{}'", "by an older MLflow", "store.py backup && mlflow db upgrade"),
        ("update alembic_version set version_num = 'ffffffffffff'", "by a newer MLflow", "install the MLflow"),
        ("drop table alembic_version", "not a complete MLflow database", "move it away"),
    ],
)
def test_database_of_another_mlflow_version_is_unchanged(
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
