"""Versions of a registered model, their stage and the alias that goes with it."""

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

# Stages that one version holds at a time, and that therefore have an alias.
EXCLUSIVE: tuple[Stage, ...] = ("Staging", "Production")
PENDING = "pending"  # tag of a version that is not yet whole: whose it is, and where it is being exported to
MADE_BY = "made_by"  # tag of a registered model: the process that made it


def version_of(client: "MlflowClient", name: str, run_id: str) -> "ModelVersion | None":
    """Return the version of a run, if it has one."""
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    return found[0] if found else None


def create_version(client: "MlflowClient", name: str, run: FinishedRun, export: str) -> "ModelVersion":
    """Register a run's model; the version is pending until `settle`.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Of the registered model, which is made when there is none.
    run : FinishedRun
    export : str
        The folder of exports; what is left there is taken back with the version when the process is killed.
    """
    _ensure_registered_model(client, name)
    pending = {PENDING: json.dumps({"owner": owner(), "exports": export})}
    return client.create_model_version(
        name,
        source=f"models:/{run.model_id}",
        run_id=run.run_id,
        model_id=run.model_id,
        tags={**tags_of(run), **pending},
    )


def settle(client: "MlflowClient", version: "ModelVersion", run: FinishedRun) -> None:
    """Mark a version as whole, and name it in its run."""
    client.set_tag(run.run_id, "registered_model_name", version.name)
    client.set_tag(run.run_id, "registered_model_version", str(version.version))
    client.delete_model_version_tag(version.name, str(version.version), PENDING)


def remove_version(client: "MlflowClient", version: "ModelVersion") -> None:
    """Take a registration back, and the registered model with it when this was its only version ever."""
    client.delete_model_version(version.name, str(version.version))
    remove_empty_model(client, version.name)


def remove_empty_model(client: "MlflowClient", name: str) -> None:
    """Delete a registered model that has neither versions nor a history."""
    for model in empty_models(client, f"name = '{name}'"):
        client.delete_registered_model(model.name)


def tags_of(run: FinishedRun) -> dict[str, str]:
    """Return what a version's tags say: run, hashes and metrics."""
    metrics = {name: f"{value:.6g}" for name, value in run.metrics.items()}
    return {"run_id": run.run_id, **run.tags, **metrics}


def in_stage(client: "MlflowClient", name: str, stage: Stage) -> "ModelVersion | None":
    """Return the version that holds an exclusive stage, if one does."""
    holders = _holders(client, name, stage)
    return holders[-1] if holders else None


def _holders(client: "MlflowClient", name: str, stage: Stage) -> list["ModelVersion"]:
    """Return the versions in a stage, the newest last."""
    holders = [one for one in client.search_model_versions(f"name = '{name}'") if one.current_stage == stage]
    return sorted(holders, key=lambda one: int(one.version))


def move(client: "MlflowClient", version: "ModelVersion", decision: Decision) -> None:
    """Give a version another stage, and write it into the history; who held an exclusive stage before is archived."""
    stage = decision.stage
    if version.current_stage == stage:
        align_alias(client, version.name, stage, version)
        return
    before = in_stage(client, version.name, stage) if stage in EXCLUSIVE else None
    archived = [int(before.version)] if before else []
    made = history.transition(int(version.version), str(version.current_stage), archived, decision)
    _make(client, version.name, made)
    if stage in EXCLUSIVE:
        _archive_all_but_newest(client, version.name, stage, decision.how)
    align_aliases(client, version.name)
    history.done(client, version.name, made)


def _make(client: "MlflowClient", name: str, made: history.Transition) -> None:
    """Write a move down, and make it."""
    history.write(client, name, made)
    with _stages_meant():
        client.transition_model_version_stage(
            name, str(made.version), made.stage, archive_existing_versions=made.stage in EXCLUSIVE
        )


def _archive_all_but_newest(client: "MlflowClient", name: str, stage: Stage, how: How) -> None:
    """Leave one holder of an exclusive stage.

    There are two when two machines moved versions at once on one server: it archives those that it sees.
    """
    holders = _holders(client, name, stage)
    for holder in holders[:-1]:
        reason = f"at the same time version {holders[-1].version} was given {stage}"
        made = history.transition(int(holder.version), stage, [], Decision("Archived", how, reason))
        _make(client, name, made)
        history.done(client, name, made)


def align_aliases(client: "MlflowClient", name: str) -> None:
    """Let the aliases of the exclusive stages name the versions that hold them."""
    for stage in EXCLUSIVE:
        align_alias(client, name, stage, in_stage(client, name, stage))


def align_alias(client: "MlflowClient", name: str, stage: Stage, holder: "ModelVersion | None") -> None:
    """Let the alias of an exclusive stage name its holder."""
    if stage not in EXCLUSIVE:
        return
    held = client.get_registered_model(name).aliases.get(stage.lower())
    if holder and str(held) != str(holder.version):
        client.set_registered_model_alias(name, stage.lower(), str(holder.version))
    elif held and not holder:
        client.delete_registered_model_alias(name, stage.lower())


def _ensure_registered_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags={MADE_BY: owner()})
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _stages_meant() -> Iterator[None]:
    """Silence MLflow's note that stages are deprecated: `models:/NAME/Production` needs them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
