"""Care of the store: every command, killed, on full and on read-only disks, and on what is no store."""

import hashlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from pipeline.errors import PipelineError, StoreError
from pipeline.store import database, locks
from pipeline.store.care.backup import backup
from pipeline.store.care.prune import prune, seconds_of
from pipeline.store.care.relocate import relocate
from pipeline.store.care.restore import restore
from pipeline.store.care.status import status_of_local, status_of_server
from pipeline.store.database import LocalStore, path_of
from pipeline.store.logged_model import LOGGED_SHA256, MODEL_SHA256
from pipeline.store.open import open_experiment, open_store
from support.folders import Trained, enter, settle
from support.zygote import Zygote

MODEL = "small-model"
DAY = 86_400_000  # milliseconds


def enter_settled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """Make a pipeline folder the current one and its store the one that is used; give a copied store its place."""
    enter(folder, monkeypatch)
    store = LocalStore(folder / "mlruns" / "mlflow.db")
    if store.exists:
        settle(store)
    return store


@pytest.fixture(scope="module")
def registered(trained_once: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trained pipeline folder of which the winner has a version; tests copy it."""
    folder = tmp_path_factory.mktemp("registered") / "repository"
    shutil.copytree(trained_once.folder, folder, symlinks=True, ignore=shutil.ignore_patterns(".git", "src"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter_settled(folder, monkeypatch)
        client, winner = open_store(), trained_once.experiments[0]
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
    """Return a store of this test's own with three experiments, one of them registered, in a folder as current one."""
    folder = tmp_path / "repository"
    shutil.copytree(registered, folder, symlinks=True)
    return enter_settled(folder, monkeypatch)


def rows(store: LocalStore, query: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(store.database)) as connection:
        return connection.execute(query, values).fetchall()


def change(store: LocalStore, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(store.database)) as connection, connection:
        connection.execute(statement, values)


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file, but for locks."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def check_sound(store: LocalStore) -> None:
    """The database is whole, every place is there, and the registered model predicts."""
    assert rows(store, "pragma integrity_check") == [("ok",)]
    assert "nothing is orphaned or missing" in status_of_local(store)
    for table, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location")):
        for (location,) in rows(store, f"select {column} from {table}"):
            assert Path(str(path_of(str(location)))).is_relative_to(store.home)


def predict() -> list[float]:
    open_store()
    example = pd.read_parquet("data/processed/test.parquet").head(5).drop(columns="price")
    return [float(one) for one in mlflow.pyfunc.load_model(f"models:/{MODEL}/1").predict(example)]


def kill_at_random(zygote: Zygote, rng: random.Random, longest: float, *command: str) -> bool:
    """Start a script, kill it at a random moment, and return whether it was still at work then."""
    pid = zygote.start(Path.cwd(), *command)
    time.sleep(rng.random() * longest)
    os.kill(pid, signal.SIGKILL)
    code, said = zygote.wait(pid)
    assert code in (0, -signal.SIGKILL), said
    return code != 0


def no_temporary_file(store: LocalStore) -> bool:
    return not [*store.home.glob(".*.tmp"), *store.home.parent.glob(".*.tmp")]


# status


def test_status_of_a_store_in_order(
    store: LocalStore, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("store", "status") == 0
    said = capsys.readouterr().out
    assert str(store.database) in said
    assert "(FINISHED 16)" in said
    assert "3 logged" in said
    assert f"{MODEL}, versions: 1 (no stage 1)" in said
    assert "nothing is orphaned or missing" in said


def test_status_names_every_kind_of_orphan_and_its_remedy(store: LocalStore, trained_once: Trained) -> None:
    winner, other, lost = trained_once.experiments
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
    said = status_of_local(store)
    for what, name, remedy in (
        ("no run or model names", "a" * 32, "prune"),
        ("registered versions", f"{MODEL} version 1", "restore"),
        ("unregistered models whose files are gone", other.model_id, "prune"),
        ("runs whose files are gone", lost.run_id, "prune"),
        ("registered models without a version", "empty", "prune"),
        ("RUNNING though their process is gone", dead.info.run_id, "ends them"),
        ("unfinished files", ".x.host", "any command"),
    ):
        part = said[said.index(what) :].split("->")
        assert name in part[0]
        assert remedy in part[1].split("\n")[0]


def test_status_without_a_store_and_of_what_is_none(tmp_path: Path) -> None:
    assert "not made yet" in status_of_local(LocalStore(tmp_path / "mlruns" / "mlflow.db"))
    (tmp_path / "text.db").write_text("no database, but a text of some length\n" * 50)
    with pytest.raises(StoreError, match="file is not a database"):
        status_of_local(LocalStore(tmp_path / "text.db"))


def test_status_of_a_database_of_another_mlflow_says_so_and_leaves_it_alone(store: LocalStore) -> None:
    change(store, "update alembic_version set version_num = 'ffffffffffff'")
    before = contents(store.home)
    said = status_of_local(store)
    assert "(FINISHED 16)" in said
    assert "is of a newer MLflow than" in said
    assert "-> install the MLflow that wrote it" in said
    assert contents(store.home) == before


def test_a_servers_store_is_told_and_pruned_through_its_client(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    client = open_store()  # what a client can tell is the same over any wire
    said = status_of_server(client, "http://127.0.0.1:9")
    assert "(FINISHED 16)" in said
    assert f"{MODEL}, versions: 1 (no stage 1)" in said
    assert "nothing is orphaned" in said
    client.create_registered_model("empty")
    assert "registered models without a version (1)" in status_of_server(client, "")
    assert prune(client, None, "0h", dry_run=True).endswith("to do it, add --no-dry-run")
    assert rows(store, "select count(*) from runs where lifecycle_stage = 'deleted'") == [(0,)]
    assert "`mlflow gc`" in prune(client, None, "0h", dry_run=False)
    assert rows(store, "select count(*) from runs where lifecycle_stage = 'deleted'") == [(12,)]
    assert rows(store, "select count(*) from logged_models where lifecycle_stage = 'deleted'") == [(2,)]
    assert rows(store, "select name from registered_models") == [(MODEL,)]
    assert len(predict()) == 5
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://u:secret@127.0.0.1:9")
    for command in (["backup"], ["restore", "x.tar"], ["relocate"]):
        assert call("store", *command) == 2
        said = capsys.readouterr().err
        assert "pg_dump" in said
        assert "secret" not in said


# relocate


@pytest.mark.parametrize("way", ["moved", "copied"])
def test_a_moved_store_is_noticed_at_once_and_relocated(
    way: str,
    store: LocalStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before, place = predict(), tmp_path / "new ü 50% 'x'" / "repository"
    place.parent.mkdir()
    if way == "moved":
        store.home.parent.rename(place)
    else:
        shutil.copytree(store.home.parent, place)
    old = contents(store.home)
    monkeypatch.chdir(place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'mlruns' / 'mlflow.db'}")
    moved = LocalStore(place / "mlruns" / "mlflow.db")
    for command in (["model_register"], ["model_train"], ["store", "prune"], ["store", "backup"]):
        assert call(*command) == 2
        assert "python src/store.py relocate" in capsys.readouterr().err
    assert call("store", "status") == 0
    assert "python src/store.py relocate" in capsys.readouterr().out
    assert call("store", "relocate") == 0
    assert "mlflow.db.before-relocate-" in capsys.readouterr().out
    check_sound(moved)
    assert predict() == before
    client = open_store()
    run = client.search_runs([open_experiment(client, "small")], "tags.stage = 'production_candidate'")[0]
    assert "residuals.png" in [one.path for one in client.list_artifacts(run.info.run_id)]
    with mlflow.start_run(experiment_id=run.info.experiment_id) as started:
        mlflow.log_text("x", "x.txt")
    assert (moved.home / "small" / started.info.run_id / "artifacts" / "x.txt").exists()
    assert contents(store.home) == old
    assert call("store", "relocate") == 0
    assert "nothing to relocate" in capsys.readouterr().out
    assert len(list(moved.home.glob("*.before-relocate-*"))) == 1


def test_a_place_elsewhere_is_no_move(store: LocalStore, tmp_path: Path) -> None:
    client = open_store()
    for name, place in (("files", (tmp_path / "elsewhere" / "small").as_uri()), ("bucket", "s3://bucket/small")):
        client.create_experiment(name, artifact_location=place)
    with mlflow.start_run(experiment_id=client.get_experiment_by_name("files").experiment_id):  # type: ignore[union-attr]
        mlflow.log_text("x", "x.txt")
    open_experiment(open_store(), "files")
    assert relocate(store).n_places == 0
    places = rows(store, "select artifact_location from experiments where name in ('files', 'bucket') order by name")
    assert places == [("s3://bucket/small",), ((tmp_path / "elsewhere" / "small").as_uri(),)]


def test_a_moved_store_without_files_is_relocated_by_name(store: LocalStore, tmp_path: Path) -> None:
    change(store, "update experiments set artifact_location = '/gone/mlruns/small' where name = 'small'")
    shutil.rmtree(store.home / "small")
    with pytest.raises(StoreError, match="relocate --from /gone/mlruns"):
        open_experiment(open_store(), "small")
    assert relocate(store, Path("/gone/mlruns")).n_places == 1
    open_experiment(open_store(), "small")
    assert rows(store, "select artifact_location from experiments where name = 'small'") == [(f"{store.home}/small",)]


@pytest.mark.parametrize("lock", ["file", "database"])
def test_relocate_refuses_while_another_writes(lock: str, store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    for module in (locks, database):
        monkeypatch.setattr(module, "PATIENCE", 0.1)
    change(store, "update experiments set artifact_location = '/gone/mlruns/small' where name = 'small'")
    before = rows(store, "select * from experiments")
    held = FileLock(store.home / "registry.lock")
    with closing(sqlite3.connect(store.database, isolation_level=None)) as other:
        if lock == "file":
            held.acquire()
        else:
            other.execute("begin immediate")
        with pytest.raises(StoreError, match=r"a registration is at work|another process is writing"):
            relocate(store, Path("/gone/mlruns"))
        held.release()
    assert rows(store, "select * from experiments") == before


def test_relocate_survives_kills(
    store: LocalStore, zygote: Zygote, monkeypatch: pytest.MonkeyPatch, told: Callable[[str], None]
) -> None:
    place = store.home.parent.with_name("moved")
    old, survived, rng = store.home, 0, random.Random(0)
    store.home.parent.rename(place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'mlruns' / 'mlflow.db'}")
    moved = LocalStore(place / "mlruns" / "mlflow.db")
    for _ in range(20):
        survived += kill_at_random(zygote, rng, 0.15, "store", "relocate")
        places = [str(path_of(str(one))) for (one,) in rows(moved, "select artifact_uri from runs")]
        in_old = sum(one.startswith(f"{old}/") for one in places)
        assert in_old in (0, len(places))
        if not in_old:
            with closing(sqlite3.connect(moved.database)) as connection, connection:
                connection.execute("update runs set artifact_uri = replace(artifact_uri, '/moved/', '/repository/')")
                connection.execute(
                    "update experiments set artifact_location = replace(artifact_location, '/moved/', '/repository/')"
                )
    zygote.run(place, "store", "relocate")
    check_sound(moved)
    assert no_temporary_file(moved)
    told(f"store relocate: {survived} kills survived")
    assert survived >= 5


# prune


@pytest.fixture
def old_runs(store: LocalStore, trained_once: Trained) -> dict[str, str]:
    """Add runs of every kind to the store, all but one ended 40 days ago, and return their ids."""
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
    change(store, "update runs set end_time = ? where end_time is not null and name <> 'young'", now - 40 * DAY)
    winner = Path("mlartifacts/training/best_model_info.json")
    winner.write_text(json.dumps({"mlflow_run_id": ids["winner"]}))
    ids |= {f"experiment {number}": one.run_id for number, one in enumerate(trained_once.experiments)}
    return ids


def remaining(store: LocalStore, ids: dict[str, str]) -> set[str]:
    there = {run_id for (run_id,) in rows(store, "select run_uuid from runs")}
    return {name for name, run_id in ids.items() if run_id in there}


def test_prune_removes_what_nobody_asks_for_and_nothing_else(
    store: LocalStore, old_runs: dict[str, str], call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.home / "small" / ("b" * 32)
    folder.mkdir()
    os.utime(folder, (0, 0))
    before, models = contents(store.home), rows(store, "select model_id from logged_models")
    assert call("store", "prune") == 0
    said = capsys.readouterr().out
    assert contents(store.home) == before
    assert remaining(store, old_runs) == set(old_runs)
    assert call("store", "prune", "--no-dry-run") == 0
    done = capsys.readouterr().out
    gone = {"failed", "killed", "experiment 1", "experiment 2"}
    assert remaining(store, old_runs) == set(old_runs) - gone
    for name in gone:
        assert old_runs[name][:8] in said
        assert old_runs[name][:8] in done
        assert not (store.home / "small" / old_runs[name]).exists()
        for table in ("tags", "params", "metrics", "latest_metrics"):
            assert not rows(store, f"select 1 from {table} where run_uuid = ?", old_runs[name])
        assert not rows(store, "select 1 from inputs where ? in (source_id, destination_id)", old_runs[name])
    assert not folder.exists()
    assert len(models) == 3
    assert len(list((store.home / "small" / "models").iterdir())) == 1
    assert rows(store, "select count(*) from logged_models") == [(1,)]
    assert rows(store, "pragma foreign_key_check") == []
    parents = "select count(*) from tags where key = 'mlflow.parentRunId' and value not in (select run_uuid from runs)"
    assert rows(store, parents) == [(0,)]
    assert len(predict()) == 5
    assert call("store", "prune", "--no-dry-run") == 0
    assert capsys.readouterr().out == "nothing to remove is as old as --older-than says\n"


def test_prune_survives_kills(
    store: LocalStore, old_runs: dict[str, str], zygote: Zygote, told: Callable[[str], None]
) -> None:
    rng, survived = random.Random(1), 0
    for _ in range(4):
        survived += kill_at_random(zygote, rng, 1.5, "store", "prune", "--no-dry-run")
        assert rows(store, "pragma integrity_check") == [("ok",)]
        assert {"young", "running", "foreign", "winner", "experiment 0"} <= remaining(store, old_runs)
    zygote.run(Path.cwd(), "store", "prune", "--no-dry-run")
    assert remaining(store, old_runs) == {"young", "running", "foreign", "winner", "experiment 0"}
    assert len(predict()) == 5
    told(f"store prune: {survived} kills survived")


@pytest.mark.parametrize(("age", "seconds"), [("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)])
def test_ages(age: str, seconds: int) -> None:
    assert seconds_of(age) == seconds
    for wrong in ("", "3", "d", "-1d", "1.5d", "3m", "1d\n"):
        with pytest.raises(PipelineError, match="older-than"):
            seconds_of(wrong)


# backup and restore


def test_a_backup_taken_while_runs_are_written_is_restored_elsewhere(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, stop, written = open_store(), threading.Event(), []
    experiment_id = open_experiment(client, "small")

    def write() -> None:
        while not stop.is_set():
            run_id = client.create_run(experiment_id).info.run_id
            client.log_text(run_id, "x" * 100_000, "x.txt")
            client.set_terminated(run_id)
            written.append(run_id)

    writer = threading.Thread(target=write)
    writer.start()
    while len(written) < 3:
        time.sleep(0.01)
    archive = backup(store).path
    at_end = len(written)
    while len(written) < at_end + 3:
        time.sleep(0.01)
    stop.set()
    writer.join()
    assert archive.parent == store.home.parent
    other = LocalStore(tmp_path / "other place" / "mlruns" / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{other.database}")
    assert restore(other, archive).former is None
    restored = {str(run_id): status for run_id, status in rows(other, "select run_uuid, status from runs")}
    whole = [one for one in written if restored.get(one) == "FINISHED"]
    assert len(whole) >= 3
    assert all((other.home / "small" / one / "artifacts" / "x.txt").stat().st_size == 100_000 for one in whole)
    later = set(written) - restored.keys()
    assert len(later) >= 3
    assert not [one for one in later if (other.home / "small" / one).exists()]
    check_sound(other)
    assert len(predict()) == 5


def test_restore_keeps_the_store_that_was_there(store: LocalStore, call: Callable[..., int]) -> None:
    assert call("store", "backup", "--to", "kept.tar") == 0
    saved = contents(store.home)
    open_store().create_experiment("later")
    later = contents(store.home)
    assert call("store", "restore", "kept.tar") == 0
    (former,) = store.home.parent.glob("mlruns.before-restore-*")
    assert contents(former) == later
    assert {name: one for name, one in contents(store.home).items() if name != "mlflow.db"} == {
        name: one for name, one in saved.items() if name != "mlflow.db"
    }
    assert rows(store, "select name from experiments where name = 'later'") == []
    check_sound(store)


def damage(archive: Path, way: str, broken: Path) -> None:
    content = archive.read_bytes()
    match way:
        case "cut off":
            broken.write_bytes(content[: len(content) * 2 // 3])
        case "without its end":
            with tarfile.open(archive) as tar:
                broken.write_bytes(content[: tar.getmember("manifest.json").offset])
        case "one byte":
            with tarfile.open(archive) as tar:
                member = next(one for one in tar if one.name.endswith("model.ubj"))
            place = member.offset_data + member.size // 2
            broken.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        case "text":
            broken.write_text("this is no archive\n" * 100)
        case "empty":
            broken.touch()
        case "another tar" | "link out":
            with tarfile.open(broken, "w") as tar:
                info = tarfile.TarInfo("../evil" if way == "link out" else "manifest.json")
                info.type = tarfile.SYMTYPE if way == "link out" else tarfile.REGTYPE
                info.linkname, info.size = "/etc/passwd" if way == "link out" else "", 0 if way == "link out" else 2
                tar.addfile(info, io.BytesIO(b"{}"))
        case "another model":  # with a manifest that agrees
            folder = broken.with_name("unpacked")
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
            manifest = json.loads((folder / "manifest.json").read_text())
            for model in folder.rglob("model.ubj"):
                model.write_bytes(b"x")
                manifest["files"][model.relative_to(folder).as_posix()] = hashlib.sha256(b"x").hexdigest()
            (folder / "manifest.json").write_text(json.dumps(manifest))
            with tarfile.open(broken, "w") as tar:
                for path in sorted(folder.rglob("*")):
                    tar.add(path, path.relative_to(folder), recursive=False)
            shutil.rmtree(folder)


def test_a_damaged_backup_changes_nothing(
    store: LocalStore, tmp_path: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    archive, before = backup(store, tmp_path / "whole.tar").path, contents(store.home)
    broken = tmp_path / "broken.tar"
    for way in ("cut off", "without its end", "one byte", "text", "empty", "another tar", "link out", "another model"):
        broken.unlink(missing_ok=True)
        damage(archive, way, broken)
        assert call("store", "restore", str(broken)) == 2, way
        said = capsys.readouterr().err
        assert said.startswith("error: "), said
        assert "the store is as it was" in said
        assert contents(store.home) == before, way
        assert [path.name for path in tmp_path.iterdir() if "restore" in path.name] == []
        assert no_temporary_file(store)
    assert call("store", "restore", "none.tar") == 2
    assert "none.tar does not exist" in capsys.readouterr().err


def test_restore_refuses_while_a_run_goes_on(store: LocalStore, tmp_path: Path) -> None:
    archive = backup(store, tmp_path / "whole.tar").path
    open_store().create_run("1")
    before = contents(store.home)
    with pytest.raises(StoreError, match="is RUNNING"):
        restore(store, archive)
    assert contents(store.home) == before


def test_restore_refuses_a_folder_that_is_shared(tmp_path: Path, store: LocalStore) -> None:
    archive = backup(store, tmp_path / "whole.tar").path
    (tmp_path / "project" / "src").mkdir(parents=True)
    with pytest.raises(StoreError, match="holds other things"):
        restore(LocalStore(tmp_path / "project" / "mlflow.db"), archive)


def test_restore_survives_kills(
    store: LocalStore,
    zygote: Zygote,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    told: Callable[[str], None],
) -> None:
    backup(store, Path("whole.tar"))
    rng, survived, between = random.Random(2), 0, 0
    longest = 1.2 * zygote.run(Path.cwd(), "store", "restore", "whole.tar")
    for _ in range(15):
        survived += kill_at_random(zygote, rng, longest, "store", "restore", "whole.tar")
        if not store.home.exists():
            between += 1
            assert call("store", "prune") == 2
            assert "run the restore again, or take that one back: mv" in capsys.readouterr().err
            sorted(store.home.parent.glob("mlruns.before-restore-*"))[-1].rename(store.home)
        assert rows(store, "pragma integrity_check") == [("ok",)]
        assert rows(store, "select count(*) from runs") == [(16,)]
        for former in store.home.parent.glob("mlruns.before-restore-*"):
            shutil.rmtree(former)
    zygote.run(Path.cwd(), "store", "restore", "whole.tar")
    check_sound(store)
    assert no_temporary_file(store)
    assert len(predict()) == 5
    told(f"store restore: {survived} kills survived, {between} of them between the renames")
    assert survived >= 5


def test_a_restore_stopped_between_its_renames_is_told(
    store: LocalStore, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    backup(store, Path("whole.tar"))
    store.home.rename("mlruns.before-restore-20260101-000000")
    for script in (["model_register"], ["store", "prune"]):
        assert call(*script) == 2
        assert f"mv {store.home}.before-restore-20260101-000000 {store.home}" in capsys.readouterr().err
    assert not store.home.exists() or not store.database.exists()
    shutil.rmtree(store.home, ignore_errors=True)
    assert call("store", "restore", "whole.tar") == 0
    check_sound(store)


def test_backup_survives_kills(store: LocalStore, zygote: Zygote, told: Callable[[str], None]) -> None:
    rng, survived = random.Random(3), 0
    for _ in range(8):
        survived += kill_at_random(zygote, rng, 0.2, "store", "backup", "--to", "killed.tar")
        if Path("killed.tar").exists():
            restore(LocalStore(Path("checked").absolute() / "mlflow.db"), Path("killed.tar"))
            shutil.rmtree("checked")
            Path("killed.tar").unlink()
    open_store()
    assert no_temporary_file(store)
    told(f"store backup: {survived} kills survived")


# disks


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder that is a disk of its own, of 16 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def store_on_disk(registered: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """Return a store like `store`, on the small disk."""
    shutil.copytree(registered, disk / "repository", symlinks=True)
    return enter_settled(disk / "repository", monkeypatch)


def check_refused(call: Callable[..., int], capsys: pytest.CaptureFixture[str], *command: str) -> None:
    """A script ends with one clear error."""
    assert call(*command) == 2, command
    said = capsys.readouterr().err
    assert "error: " in said
    assert "Traceback" not in said


def fill(disk: Path, free: int) -> None:
    """Leave so many bytes of a disk."""
    with (disk / "fill").open("wb") as file:
        file.write(b"\0" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - free))


def test_a_full_disk_is_a_clear_error_and_breaks_nothing(
    store_on_disk: LocalStore, disk: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    store = store_on_disk
    backup(store, Path("whole.tar"))
    for free, command in (
        (0, ["prepare"]),
        (0, ["model_train"]),
        (40_000, ["model_train"]),
        (500_000, ["model_train"]),
        (0, ["model_register", "--stage", "Production"]),
        (0, ["store", "backup"]),
        (500_000, ["store", "backup"]),
        (500_000, ["store", "restore", "whole.tar"]),
        (0, ["store", "relocate"]),
    ):
        before = {path: digest for path, digest in contents(disk).items() if path.startswith("repository/mlruns/small")}
        if command[-1] == "relocate":
            change(store, "update experiments set artifact_location = '/gone/small' where name = 'small'")
        fill(disk, free)
        check_refused(call, capsys, *command)
        (disk / "fill").unlink()
        assert rows(store, "pragma integrity_check") == [("ok",)]
        assert before.items() <= contents(disk).items()
        assert no_temporary_file(store)
    assert call("store", "relocate") == 0
    open_store()
    call("store", "prune", "--no-dry-run", "--older-than", "0h")
    assert rows(store, "select count(*) from model_versions") == [(1,)]
    assert len(predict()) == 5


def test_a_disk_that_may_only_be_read_is_a_clear_error(
    store_on_disk: LocalStore,
    disk: Path,
    tmp_path: Path,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    backup(store_on_disk, tmp_path / "whole.tar")
    before = contents(disk)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for command in (
        ["prepare"],
        ["model_train"],
        ["model_register", "--stage", "Production"],
        ["store", "relocate", "--from", "/x"],
        ["store", "prune", "--no-dry-run"],
        ["store", "restore", str(tmp_path / "whole.tar")],
        ["store", "backup"],
    ):
        check_refused(call, capsys, *command)
    for command in (["store", "status"], ["store", "prune"], ["store", "backup", "--to", str(tmp_path / "other.tar")]):
        assert call(*command) == 0, (command, capsys.readouterr().err)
    assert contents(disk) == before
