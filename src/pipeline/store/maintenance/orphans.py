"""Find orphans in a store: files without a row, rows without files, and runs without a process."""

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.store.database import LocalStore, local_path, table_names
from pipeline.store.locations import is_inside
from pipeline.store.lookup import empty_models
from pipeline.store.stale_runs import stale_runs
from pipeline.support.files import TEMPORARY_SUFFIX

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_ID, MODEL_ID = re.compile("[0-9a-f]{32}"), re.compile("m-[0-9a-f]{32}")
EXPERIMENT_STAGES = ("experiment", "production_candidate")  # values of the tag `stage` of runs with a logged model
PRUNE = "python src/store.py prune --no-dry-run"
END_RUNS = "the next training or registration ends them as FAILED"
RESTORE = "python src/store.py restore FILE (a backup that contains them)"
Names = list[str]


@dataclass(frozen=True)
class Orphans:
    """Orphans of one kind, and how to remove or repair them.

    Attributes
    ----------
    title : str
        Description of the kind.
    names : list of str
        The orphaned files, runs or models.
    remedy : str
        The command that removes or repairs them, or when this happens by itself.
    """

    title: str
    names: Names
    remedy: str


def files_and_rows(connection: sqlite3.Connection, store: LocalStore) -> list[Orphans]:
    """Return a local store's files without a row, and its rows without files."""
    versions, models = _versions_and_models_without_files(connection, store)
    folders = [str(folder) for folder in orphaned_folders(connection, store)]
    return [
        Orphans("orphaned files, which belong to no run or model", folders, PRUNE),
        Orphans("registered versions whose model files are missing or incomplete", versions, RESTORE),
        Orphans("unregistered models whose files are missing", models, PRUNE),
        Orphans("runs whose files are missing", _runs_without_files(connection, store), PRUNE),
    ]


def models_and_runs(client: "MlflowClient") -> list[Orphans]:
    """Return any store's registered models without a version, and its runs without a process."""
    models = [str(model.name) for model in empty_models(client)]
    runs = [str(run.info.run_id) for run in stale_runs(client)]
    return [
        Orphans("registered models without a version", models, PRUNE),
        Orphans("runs in status RUNNING whose process has ended", runs, END_RUNS),
    ]


def unfinished_files(store: LocalStore) -> Orphans:
    """Return the unfinished files in and beside a local store."""
    pattern = f".*~*{TEMPORARY_SUFFIX}"
    paths = sorted(str(path) for folder in (store.home, store.home.parent) for path in folder.glob(pattern))
    return Orphans("unfinished files", paths, "any command that opens the store removes them")


def orphaned_folders(connection: sqlite3.Connection, store: LocalStore) -> list[Path]:
    """Return the folders in the store that are named like a run or a logged model but have no row."""
    runs = {run_id for (run_id,) in connection.execute("select run_uuid from runs")}
    models = set(_logged_models(connection))
    found = []
    for folder in experiment_folders(connection, store):
        for parent, pattern, known in ((folder, RUN_ID, runs), (folder / "models", MODEL_ID, models)):
            if parent.is_dir():
                found += [
                    child for child in parent.iterdir() if pattern.fullmatch(child.name) and child.name not in known
                ]
    return sorted(found)


def experiment_folders(connection: sqlite3.Connection, store: LocalStore) -> list[Path]:
    """Return the existing folders of experiments inside the store's folder."""
    folders = {local_path(location) for (location,) in connection.execute("select artifact_location from experiments")}
    return sorted(folder for folder in folders if folder and is_inside(folder, store.home) and folder.is_dir())


def _logged_models(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the artifact location of each logged model; empty for an MLflow version without logged models."""
    if "logged_models" not in table_names(connection):
        return {}
    return dict(connection.execute("select model_id, artifact_location from logged_models").fetchall())


def _versions_and_models_without_files(connection: sqlite3.Connection, store: LocalStore) -> tuple[Names, Names]:
    """Return the versions and the unregistered logged models whose folder is in the store but has no MLmodel file."""
    versions = connection.execute(
        "select name, version, storage_location from model_versions order by name, version"
    ).fetchall()
    version_names = [f"{name} version {version}" for name, version, location in versions if _is_lost(location, store)]
    registered = {location for *_, location in versions}
    ready = {}
    if "logged_models" in table_names(connection):
        ready = dict(connection.execute("select model_id, artifact_location from logged_models where status = 2"))
    models = [
        model_id
        for model_id, location in sorted(ready.items())
        if location not in registered and _is_lost(location, store)
    ]
    return version_names, models


def _is_lost(location: str | None, store: LocalStore) -> bool:
    """Return whether a model's folder is in the store but has no MLmodel file."""
    path = local_path(location)
    return path is not None and is_inside(path, store.home) and not (path / "MLmodel").is_file()


def _runs_without_files(connection: sqlite3.Connection, store: LocalStore) -> Names:
    query = f"""select run_uuid, artifact_uri from runs join tags using (run_uuid)
        where key = 'stage' and value in {EXPERIMENT_STAGES} and status = 'FINISHED' and lifecycle_stage = 'active'
        order by run_uuid"""  # noqa: S608 (constants)
    paths = [(run_id, local_path(location)) for run_id, location in connection.execute(query)]
    return [run_id for run_id, path in paths if path and is_inside(path, store.home) and not path.is_dir()]
