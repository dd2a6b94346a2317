"""Query the git repository of a folder."""

import os
import re
import subprocess
from pathlib import Path

COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
REPOSITORY_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # git hooks set them to their own repository


def git(folder: Path, *arguments: str) -> str | None:
    """Return the output of a git command in `folder`; None if it fails or git is not installed."""
    environment = {name: value for name, value in os.environ.items() if name not in REPOSITORY_VARIABLES}
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def has_commit(folder: Path, commit: str) -> bool:
    """Return whether the repository of `folder` contains a commit, given by its full hash."""
    return bool(COMMIT.fullmatch(commit)) and git(folder, "cat-file", "-e", f"{commit}^{{commit}}") is not None
