"""What git says of a folder's repository."""

import os
import re
import subprocess
from pathlib import Path

COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # set in hooks: they would name another repository


def git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command prints; None when it fails, or when there is no git on this machine."""
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def has_commit(folder: Path, commit: str) -> bool:
    """Return whether a commit, named by all its digits, is in the repository of `folder`."""
    return bool(COMMIT.fullmatch(commit)) and git(folder, "cat-file", "-e", f"{commit}^{{commit}}") is not None
