"""Whether the registered versions of a store have their models, byte for byte."""

import sqlite3
from pathlib import Path

from pipeline.store.database import path_of
from pipeline.store.logged_model import MODEL_SHA256, file_problems

VERSIONS = "select name, version, storage_location from model_versions order by name, version"
TAGS = "select key, value from model_version_tags where name = ? and version = ?"


def damages(connection: sqlite3.Connection, home: Path, folder: Path) -> list[str]:
    """Return what is wrong with registered versions.

    Parameters
    ----------
    connection : sqlite3.Connection
    home : Path
        The store's folder as the database has it.
    folder : Path
        Where its files are.
    """
    found = []
    for name, version, location in connection.execute(VERSIONS).fetchall():
        place = path_of(location)
        if place is None or not place.is_relative_to(home):
            continue  # not of this store's files
        tags = dict(connection.execute(TAGS, (name, version)))
        problems = _problems(folder / place.relative_to(home), tags)
        found += [f"{name} version {version}: {problem}" for problem in problems]
    return found


def _problems(model: Path, tags: dict[str, str]) -> list[str]:
    if not (model / "MLmodel").is_file():
        return ["the files of its model are missing"]
    # What another program registered has no such tag.
    return file_problems(model, "version", tags) if MODEL_SHA256 in tags else []
