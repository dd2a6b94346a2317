"""Copy a table from a URL that DVC knows, such as ``s3://bucket/table`` or ``remote://storage/table``."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import TableError
from pipeline.support.progress import progress

URL = re.compile(r"[a-z][a-z0-9+]+://")


def is_url(path: str) -> bool:
    """Return whether ``dataset.path`` is a URL."""
    return bool(URL.match(path))


@contextmanager
def local_table(path: str, folder: Path, temporary: Path) -> Iterator[Path]:
    """Yield the path of a table on this machine: a copy if `path` is a URL, which errors then name.

    Parameters
    ----------
    path : str
        As in ``dataset.path``.
    folder : Path
        The pipeline folder, whose DVC configuration names the remotes.
    temporary : Path
        Folder for the copy.
    """
    if not is_url(path):
        yield folder / path
        return
    progress(f"prepare: copying {path}")
    copy = download(path, folder, temporary)
    try:
        yield copy
    except TableError as error:
        raise TableError(error.problem.replace(str(copy), path), error.remedy.replace(str(copy), path)) from None


def download(url: str, folder: Path, target: Path) -> Path:
    """Copy the file or folder at a URL below `target`, and return its path.

    Raises
    ------
    TableError
        When DVC cannot copy it; the message has DVC's reason.
    """
    copy = (target / url.rstrip("/").rpartition("/")[2]).absolute()
    copy.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "dvc", "get-url", "--quiet", url, str(copy)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit code {result.returncode}"]
        raise TableError(
            f"{url} cannot be copied: {lines[0].removeprefix('ERROR: ')}",
            "correct dataset.path in params.yaml, or the remote: dvc remote list",
        )
    return copy
