"""Hashes, and files that appear whole or not at all."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; on success it takes the place of `path`.

    When the block raises, the file beside is removed and `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o644)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, written_by: str, *keys: str) -> dict[str, Any]:
    """Read a JSON object that a stage wrote.

    Raises
    ------
    PipelineError
        When the file is missing, broken or lacks one of `keys`; `written_by` is the command that writes it.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PipelineError(f"{path} does not exist", f"write it with: {written_by}") from None
    except ValueError as error:
        raise PipelineError(f"{path} is not valid JSON ({error})", f"write it anew with: {written_by}") from None
    if not isinstance(value, dict) or not value.keys() >= set(keys):
        raise PipelineError(f"{path} does not hold {', '.join(keys)}", f"write it anew with: {written_by}")
    return value
