"""Fixtures for all tests: small pipeline folders, empty and trained, and the process that starts scripts."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import joblib
import pandas as pd
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from pipeline.params.load import load_params
from pipeline.prepare.stage import prepare
from pipeline.support.progress import progress_handler
from pipeline.train.device import gpu_problem
from pipeline.train.stage import train
from support.effort import THOROUGH
from support.folders import Trained, copy_pipeline_folder, enter, make_pipeline_folder, make_table, make_template
from support.repositories import ROOT
from support.standard import Standard, load_standard, make_standard
from support.zygote import Zygote, close_zygote, get_zygote

pytest_plugins = ["support.scheduling", "support.stores"]

settings.register_profile(
    "pipeline",
    max_examples=160 if THOROUGH else 40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("pipeline")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test without the store, stage and git variables of the machine or of an outer pipeline."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "DVC_", "GIT_DIR", "GIT_WORK_TREE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(autouse=True)
def _forget_test_modules() -> Iterator[None]:
    """Unload the modules that a test wrote."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "/pytest-" in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def build_once(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return a function that builds a folder once for all workers of a test run and returns its path."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def make(name: str, build: Callable[[Path], None]) -> Path:
        folder, built = shared / name, shared / f"{name}.built"
        with FileLock(shared / f"{name}.lock"):
            if not built.exists():
                shutil.rmtree(folder, ignore_errors=True)  # left by a worker that failed
                folder.mkdir()
                build(folder)
                built.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def migrated_database(build_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Return the empty MLflow database of the template folder of `make_pipeline_folder`; creating it takes seconds."""

    def build(folder: Path) -> None:
        make_template(folder)
        code = "from pipeline.store.open import open_store; open_store()"
        uri = f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}"
        environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT / "src")}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)

    return build_once("template", build) / "mlruns" / "mlflow.db"


@pytest.fixture
def table() -> pd.DataFrame:
    """Return the small table."""
    return make_table()


@pytest.fixture
def pipeline_folder(tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small pipeline folder for one test, as the current folder."""
    folder = make_pipeline_folder(tmp_path / "repository", migrated_database)
    enter(folder, monkeypatch)
    return folder


@pytest.fixture
def empty_store(tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder with an empty store, as the current folder."""
    (tmp_path / "mlruns").mkdir()
    shutil.copy(migrated_database, tmp_path / "mlruns" / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}")
    return tmp_path


@pytest.fixture(scope="session")
def trained_session(build_once: Callable[[str, Callable[[Path], None]], Path], migrated_database: Path) -> Trained:
    """Return a trained small pipeline folder, built once because training takes ten seconds; tests use copies."""

    def build(place: Path) -> None:
        folder = make_pipeline_folder(place / "repository", migrated_database)
        with pytest.MonkeyPatch.context() as monkeypatch:
            enter(folder, monkeypatch)
            params = load_params()
            prepare(params.dataset, folder)
            joblib.dump(train(params, folder).experiments, place / "experiments.pkl")

    place = build_once("trained", build)
    return Trained(place / "repository", joblib.load(place / "experiments.pkl"))


@pytest.fixture(scope="session")
def standard(
    build_once: Callable[[str, Callable[[Path], None]], Path], migrated_database: Path
) -> tuple[Path, dict[tuple[str, str], Standard]]:
    """Return a pipeline folder and an experiment of every task and family; tests must not change them."""
    return load_standard(build_once("standard", lambda place: make_standard(place, migrated_database)))


@pytest.fixture(scope="module")
def trained_module(trained_session: Trained, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a trained pipeline folder shared by the tests of one file."""
    folder = tmp_path_factory.mktemp("trained") / "repository"
    copy_pipeline_folder(trained_session.folder, folder)
    return replace(trained_session, folder=folder)


@pytest.fixture
def trained(trained_module: Trained, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Return the trained pipeline folder as the current folder; tests must not change its files."""
    enter(trained_module.folder, monkeypatch)
    return trained_module


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    """Return the process that starts scripts without the seconds that their imports take."""
    return get_zygote()


def pytest_sessionfinish() -> None:
    """End the process that starts scripts."""
    close_zygote()


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return a function that adds a line to the test summary, such as the number of kills."""
    return lambda line: record_property("told", line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the lines that tests added to the summary."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    called = [report for report in reports if getattr(report, "when", "") == "call"]
    lines = [value for report in called for name, value in report.user_properties if name == "told"]
    if lines:
        terminalreporter.section("counts")
        for line in lines:
            terminalreporter.line(str(line))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need a GPU on machines without one."""
    if item.get_closest_marker("gpu") and (problem := gpu_problem()):
        pytest.skip(problem)


@pytest.fixture
def _without_gpu() -> None:
    """Skip the test on machines with a GPU."""
    if gpu_problem() is None:
        pytest.skip("this machine has a GPU")


@pytest.fixture
def progress_lines() -> Iterator[list[str]]:
    """Return the progress lines that library code reports during the test, in order."""
    lines: list[str] = []
    with progress_handler(lines.append):
        yield lines


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Return a function that runs a script of src/ in this process and the current folder and returns its exit code."""
    import importlib
    import signal

    from pipeline.cli import run_script

    def run(script: str, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", [f"src/{script}.py", *arguments])
        with pytest.raises(SystemExit) as exit_:
            run_script(importlib.import_module(script).main)
        return int(exit_.value.code or 0)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield run
    for number, handler in before.items():
        signal.signal(number, handler)
