"""Verify that the model files of registered versions are present and unchanged."""

import sqlite3
from pathlib import Path

from pipeline.store.database import local_path
from pipeline.store.logged_model import MODEL_SHA256, file_problems

VERSIONS = "select name, version, storage_location from model_versions order by name, version"
TAGS = "select key, value from model_version_tags where name = ? and version = ?"


def version_problems(connection: sqlite3.Connection, home: Path, folder: Path) -> list[str]:
    """Return the problems of the model files of registered versions, such as missing or changed files.

    Parameters
    ----------
    connection : sqlite3.Connection
    home : Path
        The store's folder, as recorded in the database.
    folder : Path
        The folder that holds the store's files now.

    Returns
    -------
    list of str
        One message per problem; empty if all files are as they were logged.
    """
    found = []
    for name, version, location in connection.execute(VERSIONS).fetchall():
        path = local_path(location)
        if path is None or not path.is_relative_to(home):
            continue  # its files are outside the store
        tags = dict(connection.execute(TAGS, (name, version)))
        problems = _problems(folder / path.relative_to(home), tags)
        found += [f"{name} version {version}: {problem}" for problem in problems]
    return found


def _problems(model: Path, tags: dict[str, str]) -> list[str]:
    if not (model / "MLmodel").is_file():
        return ["its model files are missing"]
    # Versions registered by other programs have no SHA-256 tag.
    return file_problems(model, "version", tags) if MODEL_SHA256 in tags else []
