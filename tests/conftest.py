"""Real git + DVC repositories and a real MLflow store, made small enough to test against."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pipeline.params.load import load_params
from pipeline.prepare.stage import prepare
from pipeline.store.database import LocalStore
from pipeline.support.progress import shown_by
from pipeline.train.stage import train
from support.folders import Trained, enter, make_pipeline_folder, make_table, settle
from support.repositories import ROOT
from support.zygote import Zygote

# Threads that wait for the next tiny fit leave the cores to others; read when XGBoost is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


# They take minutes: begun last, they would run alone while the other workers have nothing left.
LONG = ("test_crash.py", "test_server_store.py", "test_pipeline.py", "test_concurrency.py", "test_run_standard.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test without what the machine or an outer pipeline says about stores and stages."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "DVC_", "GIT_DIR", "GIT_WORK_TREE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create one empty MLflow database, to be copied: creating one takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    code = "from pipeline.store.open import open_store; open_store()"
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "PYTHONPATH": str(ROOT / "src"),
    }
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return folder / "mlflow.db"


@pytest.fixture
def table() -> pd.DataFrame:
    """Return the small table."""
    return make_table()


@pytest.fixture
def pipeline_folder(tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small pipeline folder of this test's own, as current folder."""
    folder = make_pipeline_folder(tmp_path / "repository", migrated_database)
    enter(folder, monkeypatch)
    return folder


@pytest.fixture(scope="session")
def trained_first(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Trained:
    """Train in a small pipeline folder, which takes ten seconds; `trained_once` is a copy for each file of tests."""
    folder = make_pipeline_folder(tmp_path_factory.mktemp("trained_first") / "repository", migrated_database)
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(folder, monkeypatch)
        params = load_params()
        prepare(params.dataset, folder)
        return Trained(folder, train(params, folder).experiments)


@pytest.fixture(scope="module")
def trained_once(trained_first: Trained, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a trained pipeline folder that the tests of a file share."""
    folder = tmp_path_factory.mktemp("trained") / "repository"
    shutil.copytree(trained_first.folder, folder, symlinks=True)
    settle(LocalStore(folder / "mlruns" / "mlflow.db"))
    return replace(trained_first, folder=folder)


@pytest.fixture
def trained(trained_once: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Return the trained pipeline folder as current folder; do not change what it holds."""
    enter(trained_once.folder, monkeypatch)
    return trained_once


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Return what starts scripts as processes without the seconds of their imports."""
    temporary = tmp_path_factory.mktemp("zygote") / "temporary"
    temporary.mkdir()
    started = Zygote(temporary)
    yield started
    started.close()


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function whose lines are printed when the tests have ended: how many kills, how many versions."""
    return lambda line: record_property("told", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    called = [report for report in reports if getattr(report, "when", "") == "call"]
    lines = [value for report in called for name, value in report.user_properties if name == "told"]
    if lines:
        terminalreporter.section("counted")
        for line in lines:
            terminalreporter.line(str(line))


@pytest.fixture
def progress_lines() -> Iterator[list[str]]:
    """Return the lines of progress that the test's own calls of library code report, in order."""
    lines: list[str] = []
    with shown_by(lines.append):
        yield lines


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Return a function that runs a script of src/ in this process, in the current folder, and gives its exit code."""
    import importlib
    import signal

    from pipeline.cli import run_script

    def run(script: str, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [f"src/{script}.py", *arguments])
        with pytest.raises(SystemExit) as stopped:
            run_script(importlib.import_module(script).main)
        return int(stopped.value.code or 0)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield run
    for number, handler in before.items():
        signal.signal(number, handler)
