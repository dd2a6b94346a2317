"""Fixtures for unit tests, which may neither open a store nor start a process."""

import os
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from support.folders import write_params


def _refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("a test in tests/unit started a process: move it to tests/store or tests/system")


@pytest.fixture(autouse=True)
def _isolated(_no_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that opens a store or starts a process."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/none/mlflow.db")
    for module, name in ((subprocess, "Popen"), (os, "fork"), (os, "posix_spawn")):
        monkeypatch.setattr(module, name, _refuse)


@pytest.fixture
def pipeline_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the small table and its params.yaml, as the working directory; no repository, no store."""
    folder = tmp_path / "repository"
    folder.mkdir()
    write_params(folder)
    monkeypatch.chdir(folder)
    return folder
