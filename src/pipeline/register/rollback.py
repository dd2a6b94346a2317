"""Back to a version that was in Production before."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RegistryError
from pipeline.files import read_json
from pipeline.params import RegisterParams
from pipeline.paths import REGISTERED_MODEL
from pipeline.register.candidate import find_candidate
from pipeline.register.export import export_version, point_latest_at
from pipeline.register.history import history, production_line
from pipeline.register.lock import registry_lock
from pipeline.register.recovery import recover
from pipeline.register.stage import write_record
from pipeline.register.versions import in_stage, move
from pipeline.stale import sweep_runs
from pipeline.tracking import open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

LOOK = "python src/model_register.py --history"


def rollback(params: RegisterParams, folder: Path, to: int | None = None, reason: str = "") -> int:
    """Put the version that was in Production before the present one, or version `to`, back there.

    Parameters
    ----------
    params : RegisterParams
    folder : Path
        The pipeline folder; its export and ``latest`` follow.
    to : int, optional
        A version that has been in Production.
    reason : str
        Why, for the history.

    Returns
    -------
    int
        The version that is in Production now.

    Raises
    ------
    RegistryError
        When there is no such version, or its model is not whole; nothing is changed then.
    """
    client, name = open_store(), params.model_name
    sweep_runs(client)
    with registry_lock():
        recover(client, name, folder)
        current = in_stage(client, name, "Production")
        target = _target(client, name, current, to)
        candidate = find_candidate(client, folder, target.run_id)
        export = export_version(client, target, candidate, folder)
        move(client, target, "Production", "rollback", reason)
        point_latest_at(export)
        _refresh_record(client, folder, name)
    left = f" instead of version {current.version}" if current else ""
    print(f"model_register: {name} version {target.version} is in Production again{left}")
    print(f"model_register: exported to {os.path.relpath(export, folder)}; latest points there")
    return int(target.version)


def _target(client: "MlflowClient", name: str, current: "ModelVersion | None", to: int | None) -> "ModelVersion":
    line = production_line(history(client, name))
    versions = {int(version.version): version for version in client.search_model_versions(f"name = '{name}'")}
    if to is None:
        earlier = [one for one in line if one in versions and (current is None or one != int(current.version))]
        if current and int(current.version) in line:
            earlier = [one for one in earlier if line.index(one) < line.index(int(current.version))]
        if not earlier:
            raise RegistryError(f"no version of {name} was in Production before the present one", f"look: {LOOK}")
        return versions[earlier[-1]]
    if to not in versions:
        known = ", ".join(str(one) for one in sorted(versions)) or "none"
        raise RegistryError(f"{name} has no version {to} (it has {known})", "look: python src/model_register.py --list")
    if current and int(current.version) == to:
        raise RegistryError(f"{name} version {to} is in Production already", f"look: {LOOK}")
    been = {one.version for one in history(client, name) if one.stage == "Production"}
    if to not in been:
        raise RegistryError(
            f"{name} version {to} has never been in Production, so there is no way back to it",
            f"promote it: python src/model_register.py --stage Production --run-id {versions[to].run_id}",
        )
    return versions[to]


def _refresh_record(client: "MlflowClient", folder: Path, name: str) -> None:
    """Let the output of stage model_register say the stage that its version has now."""
    if not (folder / REGISTERED_MODEL).exists():
        return
    record = read_json(folder / REGISTERED_MODEL, "dvc repro -f -s model_register", "name", "version", "run_id")
    if record["name"] == name:
        version = client.get_model_version(name, str(record["version"]))
        write_record(client, find_candidate(client, folder, record["run_id"]), version, folder)
