"""The files of a logged model, held against what its run wrote: MLmodel and code/ say what Python is run to load it."""

import hashlib
from pathlib import Path

from pipeline.support.files import sha256

LOGGED_SHA256 = "logged_model_sha256"  # a tag of the run
ADDED = {"registered_model_meta", "__pycache__"}  # by MLflow to what it fetches, by Python beside code that has run


def logged_sha256(folder: Path) -> str:
    """Return one SHA-256 of the names and contents of all files of a logged model.

    It is that of the lines that ``sha256sum`` prints for them, sorted by name.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{sha256(folder / name)}  {name}\n" for name in names if not ADDED & set(name.split("/"))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
