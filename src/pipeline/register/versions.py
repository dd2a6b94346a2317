"""Create model versions, and set their stages and the matching aliases."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.params.schema import Stage
from pipeline.register import history
from pipeline.register.finished_run import FinishedRun
from pipeline.register.history import Decision, How
from pipeline.store.lookup import empty_models
from pipeline.support.processes import owner

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# Stages that only one version has at a time, and that therefore have an alias.
EXCLUSIVE: tuple[Stage, ...] = ("Staging", "Production")
PENDING = "pending"  # tag of an incomplete version: the process that creates it, and the folder of exports
CREATED_BY = "made_by"  # tag of a registered model: the process that created it


def version_of_run(client: "MlflowClient", name: str, run_id: str) -> "ModelVersion | None":
    """Return the version of a run, or None."""
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    return found[0] if found else None


def create_version(client: "MlflowClient", name: str, run: FinishedRun, export: str) -> "ModelVersion":
    """Register a run's model; the version is pending until `finish_registration`.

    Parameters
    ----------
    client : MlflowClient
    name : str
        The registered model, which is created if necessary.
    run : FinishedRun
    export : str
        The folder of exports. If this process is killed, recovery removes the version and its export there.
    """
    _ensure_registered_model(client, name)
    pending = {PENDING: json.dumps({"owner": owner(), "exports": export})}
    return client.create_model_version(
        name,
        source=f"models:/{run.model_id}",
        run_id=run.run_id,
        model_id=run.model_id,
        tags={**version_tags(run), **pending},
    )


def finish_registration(client: "MlflowClient", version: "ModelVersion", run: FinishedRun) -> None:
    """Mark a version as complete, and record it in the tags of its run."""
    client.set_tag(run.run_id, "registered_model_name", version.name)
    client.set_tag(run.run_id, "registered_model_version", str(version.version))
    client.delete_model_version_tag(version.name, str(version.version), PENDING)


def remove_version(client: "MlflowClient", version: "ModelVersion") -> None:
    """Delete a version, and the registered model if it never had another version."""
    client.delete_model_version(version.name, str(version.version))
    remove_empty_model(client, version.name)


def remove_empty_model(client: "MlflowClient", name: str) -> None:
    """Delete a registered model that has neither versions nor a history."""
    for model in empty_models(client, f"name = '{name}'"):
        client.delete_registered_model(model.name)


def version_tags(run: FinishedRun) -> dict[str, str]:
    """Return the tags of a version: run, hashes and metrics."""
    metrics = {name: f"{value:.6g}" for name, value in run.metrics.items()}
    return {"run_id": run.run_id, **run.tags, **metrics}


def version_in_stage(client: "MlflowClient", name: str, stage: Stage) -> "ModelVersion | None":
    """Return the version in an exclusive stage, or None."""
    holders = _holders(client, name, stage)
    return holders[-1] if holders else None


def _holders(client: "MlflowClient", name: str, stage: Stage) -> list["ModelVersion"]:
    """Return the versions in a stage, the newest last."""
    versions = client.search_model_versions(f"name = '{name}'")
    holders = [version for version in versions if version.current_stage == stage]
    return sorted(holders, key=lambda version: int(version.version))


def change_stage(client: "MlflowClient", version: "ModelVersion", decision: Decision) -> None:
    """Move a version to a stage and record it in the history; an exclusive stage's previous version is archived."""
    stage = decision.stage
    if version.current_stage == stage:
        align_alias(client, version.name, stage, version)
        return
    previous = version_in_stage(client, version.name, stage) if stage in EXCLUSIVE else None
    archived = [int(previous.version)] if previous else []
    entry = history.transition(int(version.version), str(version.current_stage), archived, decision)
    _record_and_make(client, version.name, entry)
    if stage in EXCLUSIVE:
        _archive_all_but_latest(client, version.name, stage, decision.how)
    align_aliases(client, version.name)
    history.mark_done(client, version.name, entry)


def _record_and_make(client: "MlflowClient", name: str, entry: history.Transition) -> None:
    """Record a transition, and make it."""
    history.record(client, name, entry)
    with _ignore_stage_deprecation():
        client.transition_model_version_stage(
            name, str(entry.version), entry.stage, archive_existing_versions=entry.stage in EXCLUSIVE
        )


def _archive_all_but_latest(client: "MlflowClient", name: str, stage: Stage, how: How) -> None:
    """Leave one version in an exclusive stage.

    Two machines that use the same server may have moved a version to the stage at the same time.
    """
    holders = _holders(client, name, stage)
    for holder in holders[:-1]:
        reason = f"version {holders[-1].version} was moved to {stage} at the same time"
        entry = history.transition(int(holder.version), stage, [], Decision("Archived", how, reason))
        _record_and_make(client, name, entry)
        history.mark_done(client, name, entry)


def align_aliases(client: "MlflowClient", name: str) -> None:
    """Point the aliases of the exclusive stages to the versions in them."""
    for stage in EXCLUSIVE:
        align_alias(client, name, stage, version_in_stage(client, name, stage))


def align_alias(client: "MlflowClient", name: str, stage: Stage, holder: "ModelVersion | None") -> None:
    """Point the alias of an exclusive stage to the version in it; remove the alias if there is none."""
    if stage not in EXCLUSIVE:
        return
    current = client.get_registered_model(name).aliases.get(stage.lower())
    if holder and str(current) != str(holder.version):
        client.set_registered_model_alias(name, stage.lower(), str(holder.version))
    elif current and not holder:
        client.delete_registered_model_alias(name, stage.lower())


def _ensure_registered_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags={CREATED_BY: owner()})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _ignore_stage_deprecation() -> Iterator[None]:
    """Silence MLflow's deprecation warning for stages, which `models:/NAME/Production` needs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
