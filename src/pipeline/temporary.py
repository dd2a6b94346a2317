"""A folder for the temporary files of one script, so that those of a killed one can be told and removed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.files import sweep_files
from pipeline.processes import owner


@contextmanager
def own_temporary_folder() -> Iterator[None]:
    """Let all temporary files of this process, and of those it starts, lie in one folder, which is removed at the end.

    What killed scripts left is removed first.
    """
    system = Path(tempfile.gettempdir())
    sweep_files(system)
    own = system / f".pipeline.{owner()}.tmp"
    own.mkdir(mode=0o700)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = tempfile.tempdir = str(own)
    try:
        yield
    finally:
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before
        shutil.rmtree(own, ignore_errors=True)
