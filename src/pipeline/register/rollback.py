"""Roll back Production to an earlier version."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError, RegistryError
from pipeline.params.schema import RegisterParams
from pipeline.register.export.export import export_version, point_latest_to
from pipeline.register.finished_run import FinishedRun, find_finished_run
from pipeline.register.history import Decision, history, production_order
from pipeline.register.lock import registry_lock
from pipeline.register.recovery import recover
from pipeline.register.registered_model import rewriting_registered_model, update_registered_model
from pipeline.register.versions import change_stage, version_in_stage
from pipeline.store.open import open_store
from pipeline.store.stale_runs import end_stale_runs
from pipeline.support.progress import progress

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SHOW_HISTORY = "python src/model_register.py --history"


def rollback(params: RegisterParams, folder: Path, to: int | None = None, reason: str = "") -> int:
    """Return Production to the version before the current one, or to version `to`, and return its number.

    Parameters
    ----------
    params : RegisterParams
    folder : Path
        The pipeline folder, where the export and ``latest`` are updated.
    to : int, optional
        A version that has been in Production; by default the previous one.
    reason : str
        Reason for the history.

    Returns
    -------
    int
        The new production version.

    Raises
    ------
    RegistryError
        If there is no such version, or its model is damaged; nothing is changed then.
    """
    client, name = open_store(), params.model_name
    end_stale_runs(client)
    with registry_lock():
        recover(client, name, folder)
        current = version_in_stage(client, name, "Production")
        target = _find_target(client, name, current, to)
        export = export_version(client, target, _intact_run(client, target, folder), folder)
        with rewriting_registered_model(folder) as previous:
            change_stage(client, target, Decision("Production", "rollback", reason))
            point_latest_to(export)
            update_registered_model(client, previous, folder)
    replaced = f", replacing version {current.version}" if current else ""
    progress(f"model_register: {name} version {target.version} is in Production again{replaced}")
    progress(f"model_register: models/production/latest points to {export.name}")
    return int(target.version)


def _find_target(client: "MlflowClient", name: str, current: "ModelVersion | None", to: int | None) -> "ModelVersion":
    order = production_order(history(client, name))
    versions = {int(version.version): version for version in client.search_model_versions(f"name = '{name}'")}
    if to is None:
        earlier = [number for number in order if number in versions and (not current or number != int(current.version))]
        if current and int(current.version) in order:
            earlier = [number for number in earlier if order.index(number) < order.index(int(current.version))]
        if not earlier:
            detail = (
                f"version {current.version} is the first of {name} in Production"
                if current
                else f"no version of {name} is in Production"
            )
            raise RegistryError(
                f"there is no version to roll back to: {detail}",
                f"choose one that has been in Production: --rollback --to VERSION ({SHOW_HISTORY} lists them)",
            )
        return versions[earlier[-1]]
    if to not in versions:
        known = ", ".join(str(number) for number in sorted(versions)) or "none"
        raise RegistryError(
            f"{name} has no version {to} (it has {known})", "list the versions: python src/model_register.py --list"
        )
    if current and int(current.version) == to:
        raise RegistryError(f"{name} version {to} is already in Production", f"see the history: {SHOW_HISTORY}")
    promoted = {entry.version for entry in history(client, name) if entry.stage == "Production"}
    if to not in promoted:
        raise RegistryError(
            f"{name} version {to} has never been in Production, so a rollback to it is impossible",
            f"promote it: python src/model_register.py --stage Production --run-id {versions[to].run_id}",
        )
    return versions[to]


def _intact_run(client: "MlflowClient", target: "ModelVersion", folder: Path) -> FinishedRun:
    """Return the run of a version, after checking that the run and its model are intact."""
    try:
        return find_finished_run(client, folder, target.run_id)
    except PipelineError as error:
        raise RegistryError(
            f"cannot roll back to version {target.version}: {error.problem}",
            "choose another version from python src/model_register.py --list: --rollback --to VERSION",
        ) from None
