"""Creation of a store by concurrent processes and by processes that are killed."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.store.database import open_for_reading
from support.stores import is_store_intact
from support.zygote import Zygote


def test_four_processes_open_a_new_store_concurrently(
    tmp_path: Path, zygote: Zygote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}")
    started = [zygote.start(tmp_path, "support.opening_process") for _ in range(4)]
    ended = [zygote.wait(script) for script in started]
    assert [code for code, _ in ended] == [0] * 4, ended
    assert len({printed for _, printed in ended}) == 1


def test_new_store_survives_kills(
    tmp_path: Path, zygote: Zygote, monkeypatch: pytest.MonkeyPatch, told: Callable[[str], None]
) -> None:
    rng, longest, survived = random.Random(4), 0.0, 0
    for number in range(7):
        folder = tmp_path / str(number)
        folder.mkdir()
        database = folder / "mlruns" / "mlflow.db"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        if number == 0:
            longest = zygote.run(folder, "store", "prune")
        else:
            script = zygote.start(folder, "store", "prune")
            time.sleep(rng.random() * longest)
            script.kill()
            survived += zygote.wait(script)[0] == -signal.SIGKILL
            assert not database.exists() or is_store_intact(database)
        if number in (0, 6):  # not in every round: a migration takes seconds
            zygote.run(folder, "store", "prune")
            assert is_store_intact(database)
            assert {path.name for path in database.parent.iterdir()} == {"mlflow.db", "mlflow.lock"}
    told(f"store creation: {survived} kills survived")


def test_transaction_of_a_killed_process_is_rolled_back(migrated_database: Path, tmp_path: Path) -> None:
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
    with open_for_reading(database) as connection:
        assert connection.execute("select name from experiments").fetchall() == [("Default",)]
    assert not database.with_name("mlflow.db-journal").exists()
