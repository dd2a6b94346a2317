"""Take the requirements of logged models from uv.lock, if it matches the installed packages.

MLflow otherwise infers the requirements of each model by loading it in a new process, which takes 2.5 seconds instead
of 0.05.
"""

import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

from pipeline.support.paths import PROJECT

NAME_OR_VERSION = re.compile(r"^(Name|Version): *(\S+)", re.MULTILINE | re.IGNORECASE)
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
    installed = {re.sub("[-_.]+", "-", name).lower(): version for name, version in installed_packages().items()}
    return all(installed.get(name, pin) == pin for name, pin in pinned.items())


@cache
def installed_packages() -> dict[str, str]:
    """Return the versions of all installed packages by name.

    The long description that follows the headers is not parsed, which would take ten times as long.
    """
    packages: dict[str, str] = {}
    for package in distributions():
        headers = (package.read_text("METADATA") or package.read_text("PKG-INFO") or "").split("\n\n")[0]
        found = {key.title(): value for key, value in reversed(NAME_OR_VERSION.findall(headers))}
        if found.keys() == {"Name", "Version"}:  # not in a folder that an interrupted installation left
            packages.setdefault(found["Name"], found["Version"])  # the first in sys.path is imported
    return packages
