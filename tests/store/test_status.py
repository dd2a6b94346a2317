"""What `store.py status` reports about an intact store, a damaged one and a server's."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.store.database import LocalStore
from pipeline.store.maintenance.prune import prune
from pipeline.store.maintenance.status import local_status, server_status
from pipeline.store.open import open_store
from support.folders import Trained
from support.stores import MODEL, execute, file_hashes, predict, query


def test_status_of_an_intact_store(
    store: LocalStore, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("store", "status") == 0
    report = capsys.readouterr().out
    assert str(store.database) in report
    assert "(FINISHED 15)" in report
    assert "3 logged" in report
    assert f"{MODEL}, versions: 1 (no stage 1)" in report
    assert "nothing is orphaned or missing" in report


def test_status_lists_every_kind_of_orphan_with_its_remedy(store: LocalStore, trained_module: Trained) -> None:
    winner, other, lost = trained_module.experiments
    files = store.home / "small"
    (files / ("a" * 32)).mkdir()
    shutil.rmtree(files / "models" / winner.model_id)
    shutil.rmtree(files / "models" / other.model_id)
    shutil.rmtree(files / lost.run_id)
    open_store().create_registered_model("empty")
    dead = open_store().create_run(
        experiment_id="1", tags={"host": os.uname().nodename, "pid": "1", "process_started": "1"}
    )
    (store.home / ".x.host~1~1.tmp").touch()
    report = local_status(store)
    for heading, name, remedy in (
        ("orphaned files", "a" * 32, "prune"),
        ("registered versions", f"{MODEL} version 1", "restore"),
        ("unregistered models whose files are missing", other.model_id, "prune"),
        ("runs whose files are missing", lost.run_id, "prune"),
        ("registered models without a version", "empty", "prune"),
        ("RUNNING whose process has ended", dead.info.run_id, "ends them"),
        ("unfinished files", ".x.host", "any command"),
    ):
        part = report[report.index(heading) :].split("->")
        assert name in part[0]
        assert remedy in part[1].split("\n")[0]


def test_status_without_a_store_and_of_an_invalid_database(tmp_path: Path) -> None:
    assert "not created yet" in local_status(LocalStore(tmp_path / "mlruns" / "mlflow.db"))
    (tmp_path / "text.db").write_text("not a database, but a text of some length\n" * 50)
    with pytest.raises(StoreError, match="file is not a database"):
        local_status(LocalStore(tmp_path / "text.db"))


def test_status_reports_a_database_of_another_mlflow_version(store: LocalStore) -> None:
    execute(store, "update alembic_version set version_num = 'ffffffffffff'")
    before = file_hashes(store.home)
    report = local_status(store)
    assert "(FINISHED 15)" in report
    assert "by a newer MLflow than" in report
    assert "-> install the MLflow version that wrote it" in report
    assert file_hashes(store.home) == before


def test_server_store_is_reported_and_pruned_through_its_client(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    client = open_store()  # a client sees the same over HTTP
    report = server_status(client, "http://127.0.0.1:9")
    assert "(FINISHED 15)" in report
    assert f"{MODEL}, versions: 1 (no stage 1)" in report
    assert "nothing is orphaned" in report
    client.create_registered_model("empty")
    assert "registered models without a version (1)" in server_status(client, "")
    assert prune(client, None, "0h", dry_run=True).endswith("to remove these, add --no-dry-run")
    assert query(store, "select count(*) from runs where lifecycle_stage = 'deleted'") == [(0,)]
    assert "`mlflow gc`" in prune(client, None, "0h", dry_run=False)
    assert query(store, "select count(*) from runs where lifecycle_stage = 'deleted'") == [(10,)]
    assert query(store, "select count(*) from logged_models where lifecycle_stage = 'deleted'") == [(2,)]
    assert query(store, "select name from registered_models") == [(MODEL,)]
    assert len(predict()) == 5
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://u:secret@127.0.0.1:9")
    for command in (["backup"], ["restore", "x.tar"], ["relocate"]):
        assert call("store", *command) == 2
        error = capsys.readouterr().err
        assert "pg_dump" in error
        assert "secret" not in error
