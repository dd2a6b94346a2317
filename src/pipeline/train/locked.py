"""Take the requirements of logged models from uv.lock, if it matches the installed packages.

MLflow otherwise infers the requirements of each model by loading it in a new process, which takes 2.5 seconds instead
of 0.05.
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
    """Let MLflow read the requirements of models logged within the block from uv.lock, if its versions are installed.

    MLflow searches the current folder for the lock, so the block runs in the project's folder.
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
    """Return whether the installed packages have the versions that a lock file pins; other packages do not matter."""
    if not lock.exists():
        return False
    pinned = {package["name"]: package["version"] for package in tomllib.loads(lock.read_text())["package"]}
    return all(_installed_version(name) in (None, pin) for name, pin in pinned.items())


def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
