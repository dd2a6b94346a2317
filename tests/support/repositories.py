"""Real git + DVC repositories: copy the project, change params, run commands."""

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import yaml

ROOT = Path(__file__).parents[2]
REAL_TABLE = ROOT.parent / "shared" / "data" / "california_housing.csv"
REAL_TABLES = ROOT.parent / "shared" / "data" / "tables"  # with the target of each in tables.jsonl
# The part of a clone that the pipeline needs.
PROJECT_FILES = (
    "src",
    "dvc.yaml",
    "params.yaml",
    "MLproject",
    "python_env.yaml",
    "requirements.txt",
    "pyproject.toml",
    "uv.lock",
    ".gitignore",
    ".dvcignore",
    ".dvc/config",
)


def copy_project(folder: Path) -> None:
    """Copy the project's files into a new git + DVC repository."""
    for name in PROJECT_FILES:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "Test")
    git(folder, "config", "user.email", "test@localhost")


def change_params(folder: Path, **sections: dict[str, object]) -> None:
    """Replace sections of params.yaml; a folder without a params.yaml starts from the project's."""
    path = folder / "params.yaml"
    before = yaml.safe_load(path.read_text()) if path.exists() else project_params()
    path.write_text(yaml.safe_dump(before | sections, sort_keys=False))


@functools.cache
def project_params() -> dict[str, object]:
    """Return the content of the project's params.yaml."""
    content: dict[str, object] = yaml.safe_load((ROOT / "params.yaml").read_text())
    return content


def commit(folder: Path, message: str) -> None:
    """Commit every file that git does not ignore."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def git(folder: Path, *arguments: str) -> str:
    """Run git in `folder` and return its output."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def shell(folder: Path, *command: str, environment: Mapping[str, str] = MappingProxyType({})) -> str:
    """Run a command of this environment in `folder` and return its output; fail on an error or a warning."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
    environment = inherited | dict(environment)
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr, done.stderr
    return done.stdout + done.stderr


def pins(text: str) -> dict[str, str]:
    """Return the versions pinned in the text of a requirements file, by package."""
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", text, re.MULTILINE))
