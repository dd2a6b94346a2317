"""The lock file from which a logged model's requirements are taken, where it tells the truth.

MLflow works out what a model needs by loading it in a new process, 2.5 seconds each time; beside a uv.lock it takes
what that pins instead, in a twentieth of a second.
"""

import os
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.support.paths import PROJECT

DETECT, COPY = "MLFLOW_UV_AUTO_DETECT", "MLFLOW_LOG_UV_FILES"


@contextmanager
def locked_requirements() -> Iterator[None]:
    """Let MLflow take the requirements of models logged within the block from uv.lock, if that is what is installed.

    MLflow looks for the lock in the current folder, which is the project's within the block.
    """
    before = {name: os.environ.get(name) for name in (DETECT, COPY)}
    os.environ |= {
        DETECT: str(shutil.which("uv") is not None and is_installed(PROJECT / "uv.lock")).lower(),
        COPY: "false",
    }
    try:
        with chdir(PROJECT):
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@cache
def is_installed(lock: Path) -> bool:
    """Tell whether every package of a lock file that is installed here has the version it pins."""
    if not lock.exists():
        return False
    pinned = {package["name"]: package["version"] for package in tomllib.loads(lock.read_text())["package"]}
    return all(_installed(name) in (None, pin) for name, pin in pinned.items())


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
