"""What does not belong together in a store: files without a row, rows without files, runs without a process."""

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.store.database import LocalStore, path_of, tables_of
from pipeline.store.locations import is_inside
from pipeline.store.lookup import empty_models
from pipeline.store.stale_runs import stale_runs
from pipeline.support.files import BESIDE

if TYPE_CHECKING:
    from mlflow import MlflowClient

RUN_ID, MODEL_ID = re.compile("[0-9a-f]{32}"), re.compile("m-[0-9a-f]{32}")
EXPERIMENT_STAGES = ("experiment", "production_candidate")  # values of the tag `stage` of runs that hold a model
PRUNE = "python src/store.py prune --no-dry-run"
SWEEP = "the next training or registration ends them as FAILED"
RESTORE = "python src/store.py restore FILE (of a backup that has them)"
Ids = list[str]


@dataclass(frozen=True)
class Orphans:
    """What is wrong, and the command that mends it.

    Attributes
    ----------
    what : str
        Said of `names`.
    names : list of str
    remedy : str
    """

    what: str
    names: Ids
    remedy: str


def files_and_rows(connection: sqlite3.Connection, store: LocalStore) -> list[Orphans]:
    """Return the files of a local store without a row, and the rows without files."""
    lost_versions, lost_models = _without_files(connection, store)
    return [
        Orphans("files that no run or model names", [str(one) for one in unnamed_folders(connection, store)], PRUNE),
        Orphans("registered versions whose model's files are gone or incomplete", lost_versions, RESTORE),
        Orphans("unregistered models whose files are gone", lost_models, PRUNE),
        Orphans("runs whose files are gone", _runs_without_files(connection, store), PRUNE),
    ]


def models_and_runs(client: "MlflowClient") -> list[Orphans]:
    """Return the registered models without a version and the runs without a process of any store."""
    models = [str(model.name) for model in empty_models(client)]
    runs = [str(run.info.run_id) for run in stale_runs(client)]
    return [
        Orphans("registered models without a version", models, PRUNE),
        Orphans("runs that are RUNNING though their process is gone", runs, SWEEP),
    ]


def unfinished_files(store: LocalStore) -> Orphans:
    """Return the files in and beside a local store that were begun and not finished."""
    found = sorted(str(one) for folder in (store.home, store.home.parent) for one in folder.glob(f".*~*{BESIDE}"))
    return Orphans("unfinished files", found, "any command that opens the store")


def unnamed_folders(connection: sqlite3.Connection, store: LocalStore) -> list[Path]:
    """Return the folders that look like a run's or a logged model's in the store, and have no row."""
    runs = {run_id for (run_id,) in connection.execute("select run_uuid from runs")}
    models = set(_models(connection))
    found = []
    for place in experiment_folders(connection, store):
        for parent, pattern, known in ((place, RUN_ID, runs), (place / "models", MODEL_ID, models)):
            if parent.is_dir():
                found += [c for c in parent.iterdir() if pattern.fullmatch(c.name) and c.name not in known]
    return sorted(found)


def experiment_folders(connection: sqlite3.Connection, store: LocalStore) -> list[Path]:
    """Return the folders of the store's experiments that lie in the store, and exist."""
    places = {path_of(location) for (location,) in connection.execute("select artifact_location from experiments")}
    return sorted(place for place in places if place and is_inside(place, store.home) and place.is_dir())


def _models(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the logged models and their places; older MLflow has none."""
    if "logged_models" not in tables_of(connection):
        return {}
    return dict(connection.execute("select model_id, artifact_location from logged_models").fetchall())


def _without_files(connection: sqlite3.Connection, store: LocalStore) -> tuple[Ids, Ids]:
    """Return versions, and unregistered logged models, whose folder lies in the store and lacks its MLmodel."""
    versions = connection.execute(
        "select name, version, storage_location from model_versions order by name, version"
    ).fetchall()
    lost = [f"{name} version {version}" for name, version, place in versions if _lacks_model(place, store)]
    used = {place for *_, place in versions}
    ready = {}
    if "logged_models" in tables_of(connection):
        ready = dict(connection.execute("select model_id, artifact_location from logged_models where status = 2"))
    models = [one for one, place in sorted(ready.items()) if place not in used and _lacks_model(place, store)]
    return lost, models


def _lacks_model(location: str | None, store: LocalStore) -> bool:
    place = path_of(location)
    return place is not None and is_inside(place, store.home) and not (place / "MLmodel").is_file()


def _runs_without_files(connection: sqlite3.Connection, store: LocalStore) -> Ids:
    query = f"""select run_uuid, artifact_uri from runs join tags using (run_uuid)
        where key = 'stage' and value in {EXPERIMENT_STAGES} and status = 'FINISHED' and lifecycle_stage = 'active'
        order by run_uuid"""  # noqa: S608 (constants)
    places = [(run_id, path_of(location)) for run_id, location in connection.execute(query)]
    return [run_id for run_id, place in places if place and is_inside(place, store.home) and not place.is_dir()]
