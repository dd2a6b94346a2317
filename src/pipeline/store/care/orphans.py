"""What does not belong together in a local store: files without a row, rows without files, runs without a process."""

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from pipeline.store.database import LocalStore, path_of, tables_of
from pipeline.store.locations import is_inside
from pipeline.store.lookup import HISTORY
from pipeline.support.files import BESIDE
from pipeline.support.processes import is_gone

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


def orphans_of(connection: sqlite3.Connection, store: LocalStore) -> list[Orphans]:
    """Return all that is orphaned in a store, each kind that there is."""
    lost_versions, lost_models = _without_files(connection, store)
    kinds = [
        Orphans("files that no run or model names", [str(one) for one in unnamed_folders(connection, store)], PRUNE),
        Orphans("registered versions whose model's files are gone or incomplete", lost_versions, RESTORE),
        Orphans("unregistered models whose files are gone", lost_models, PRUNE),
        Orphans("runs whose files are gone", _runs_without_files(connection, store), PRUNE),
        Orphans("registered models without a version", empty_models(connection), PRUNE),
        Orphans("runs that are RUNNING though their process is gone", stale_runs(connection), SWEEP),
        Orphans("unfinished files", [str(one) for one in _temporary(store)], "any command that opens the store"),
    ]
    return [kind for kind in kinds if kind.names]


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


def empty_models(connection: sqlite3.Connection, older_than_ms: int | None = None) -> Ids:
    """Return the registered models that have neither versions nor a history."""
    query = """select name from registered_models where name not in (select name from model_versions)
        and name not in (select name from registered_model_tags where key like ?)
        and (? is null or last_updated_time < ?) order by name"""
    return [name for (name,) in connection.execute(query, (f"{HISTORY}%", older_than_ms, older_than_ms))]


def stale_runs(connection: sqlite3.Connection) -> Ids:
    """Return the RUNNING runs whose process is known to be gone."""
    return [run_id for run_id, owner in running(connection).items() if is_gone(*owner)]


def running(connection: sqlite3.Connection) -> dict[str, tuple[str, str, str]]:
    """Return the RUNNING runs with host, process id and start time, as far as they are known."""
    query = """select run_uuid,
        max(case key when 'host' then value else '' end), max(case key when 'pid' then value else '' end),
        max(case key when 'process_started' then value else '' end)
        from runs left join tags using (run_uuid)
        where status = 'RUNNING' and lifecycle_stage = 'active' group by run_uuid"""
    return {run_id: (host or "", pid or "", start or "") for run_id, host, pid, start in connection.execute(query)}


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


def _temporary(store: LocalStore) -> list[Path]:
    return sorted(one for folder in (store.home, store.home.parent) for one in folder.glob(f".*~*{BESIDE}"))
