"""Back to a version that was in Production before."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError, RegistryError
from pipeline.params.schema import RegisterParams
from pipeline.register.export.export import export_version, point_latest_at
from pipeline.register.finished_run import FinishedRun, find_finished_run
from pipeline.register.history import Decision, history, production_line
from pipeline.register.lock import registry_lock
from pipeline.register.recovery import recover
from pipeline.register.registered_model import rewriting_registered_model, update_registered_model
from pipeline.register.versions import in_stage, move
from pipeline.store.open import open_store
from pipeline.store.stale_runs import sweep_runs
from pipeline.support.progress import progress

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
        export = export_version(client, target, _sound(client, target, folder), folder)
        with rewriting_registered_model(folder) as before:
            move(client, target, Decision("Production", "rollback", reason))
            point_latest_at(export)
            update_registered_model(client, before, folder)
    left = f" instead of version {current.version}" if current else ""
    progress(f"model_register: {name} version {target.version} is in Production again{left}")
    progress(f"model_register: models/production/latest points at {export.name}")
    return int(target.version)


def _target(client: "MlflowClient", name: str, current: "ModelVersion | None", to: int | None) -> "ModelVersion":
    line = production_line(history(client, name))
    versions = {int(version.version): version for version in client.search_model_versions(f"name = '{name}'")}
    if to is None:
        earlier = [one for one in line if one in versions and (current is None or one != int(current.version))]
        if current and int(current.version) in line:
            earlier = [one for one in earlier if line.index(one) < line.index(int(current.version))]
        if not earlier:
            first = (
                f"version {current.version} is the first of {name} that was" if current else f"no version of {name} is"
            )
            raise RegistryError(
                f"there is nothing further back: {first} in Production",
                f"name another that has been there: --rollback --to VERSION; look: {LOOK}",
            )
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


def _sound(client: "MlflowClient", target: "ModelVersion", folder: Path) -> FinishedRun:
    """Return the run of a version, after checking that it and its model are whole."""
    try:
        return find_finished_run(client, folder, target.run_id)
    except PipelineError as error:
        raise RegistryError(
            f"there is no way back to version {target.version}: {error.problem}",
            "choose another one: python src/model_register.py --list, then --rollback --to VERSION",
        ) from None
