"""Whether the registered versions of a store have their models, byte for byte."""

import json
import sqlite3
from pathlib import Path

from pipeline.features.transformer import FEATURES_FILE
from pipeline.store.database import path_of
from pipeline.support.files import sha256

QUERY = """select v.name, v.version, v.storage_location, t.value from model_versions v
    left join model_version_tags t on t.name = v.name and t.version = v.version and t.key = 'model_sha256'
    order by v.name, v.version"""


def damages(connection: sqlite3.Connection, recorded: Path, folder: Path) -> list[str]:
    """Return what is wrong with registered versions.

    Parameters
    ----------
    connection : sqlite3.Connection
    recorded : Path
        The store's folder as the database has it.
    folder : Path
        Where its files are.
    """
    found = []
    for name, version, location, digest in connection.execute(QUERY):
        place = path_of(location)
        if place is None or not place.is_relative_to(recorded):
            continue  # not of this store's files
        model = folder / place.relative_to(recorded)
        if problem := _problem(model, digest):
            found.append(f"{name} version {version}: {problem}")
    return found


def _problem(model: Path, digest: str | None) -> str | None:
    if not (model / "MLmodel").is_file():
        return "the files of its model are missing"
    if digest is None:
        return None
    try:
        file = model / json.loads((model / FEATURES_FILE).read_text(encoding="utf-8"))["model_file"]
        return None if sha256(file) == digest else "its model file is not the one that was registered (SHA-256 differs)"
    except (OSError, ValueError, KeyError) as error:
        return f"its model file cannot be read: {error}"
