import os
import re
import tomllib
from importlib.metadata import distributions, version
from pathlib import Path

import pytest

from pipeline.train.locked import DETECT, installed_packages, is_installed, locked_requirements
from support.repositories import ROOT, pins


def test_the_lock_file_pins_the_versions_of_the_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = pins((ROOT / "requirements.txt").read_text())
    assert project["dependencies"]
    assert pins("\n".join(project["dependencies"])).items() <= requirements.items()
    for extra, packages in project["optional-dependencies"].items():
        assert pins("\n".join(packages)) == pins((ROOT / f"requirements-{extra}.txt").read_text())
    environment = (ROOT / "requirements-dev.lock").read_text()
    locked = {
        package["name"]: package["version"] for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    locked.pop("served-model")
    for name, pin in locked.items():  # the same for every Python, or the lock would be ignored for some
        assert re.findall(rf"^{re.escape(name)}==(\S+)", environment, re.MULTILINE) == [pin]
    assert set(re.findall(r'registry = "([^"]*)"', (ROOT / "uv.lock").read_text())) == {"https://pypi.org/simple"}


def test_a_lock_file_that_does_not_match_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "uv.lock"
    assert not is_installed(lock)
    is_installed.cache_clear()
    lock.write_text(f'[[package]]\nname = "xgboost"\nversion = "{version("xgboost")}"\n')
    assert is_installed(lock)
    is_installed.cache_clear()
    lock.write_text('[[package]]\nname = "xgboost"\nversion = "1.0"\n[[package]]\nname = "not-here"\nversion = "1"\n')
    assert not is_installed(lock)

    monkeypatch.setenv(DETECT, "before")
    with locked_requirements():
        assert (os.environ[DETECT], Path.cwd()) == ("true", ROOT)
    assert os.environ[DETECT] == "before"
    monkeypatch.setattr("pipeline.train.locked.is_installed", lambda _: False)
    with locked_requirements():
        assert os.environ[DETECT] == "false"
    monkeypatch.setenv("PATH", "")
    with locked_requirements():
        assert os.environ[DETECT] == "false"


def test_versions_of_all_installed_packages() -> None:
    assert installed_packages() == {package.name: package.version for package in reversed(list(distributions()))}
