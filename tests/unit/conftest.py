"""Fixtures of tests that need neither a store nor another process, and what holds them to that."""

import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from support.folders import write_params


def _refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("a test in tests/unit starts a process: it belongs into tests/store or tests/system")


@pytest.fixture(autouse=True)
def _neither_store_nor_process(_no_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a test opens a store or starts a process."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/none/mlflow.db")
    for owner, name in ((subprocess, "Popen"), (os, "fork"), (os, "posix_spawn")):
        monkeypatch.setattr(owner, name, _refuse)


@pytest.fixture
def pipeline_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the small table and its params.yaml, as current folder; no repository, no store."""
    folder = tmp_path / "repository"
    folder.mkdir()
    write_params(folder)
    monkeypatch.chdir(folder)
    return folder
