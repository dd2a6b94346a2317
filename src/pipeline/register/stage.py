"""DVC stage 3, model_register: register a run as a model version, set its stage, and export it for Production."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import GateError, PipelineError
from pipeline.params.schema import RegisterParams, Stage
from pipeline.register.export.export import export_version, exports_root, point_latest_to, unlink_latest
from pipeline.register.finished_run import FinishedRun, find_finished_run
from pipeline.register.gate.gate import judge
from pipeline.register.history import Decision, find_rollback, history, last_transition
from pipeline.register.lock import registry_lock
from pipeline.register.package import package
from pipeline.register.recovery import recover
from pipeline.register.registered_model import rewriting_registered_model, write_registered_model
from pipeline.register.versions import (
    change_stage,
    create_version,
    finish_registration,
    remove_version,
    version_in_stage,
    version_of_run,
)
from pipeline.store.open import open_store
from pipeline.store.stale_runs import end_stale_runs
from pipeline.support.progress import progress

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Registration:
    """The options of a registration.

    Attributes
    ----------
    stage : str, optional
        The stage to set; by default ``register.stage`` of params.yaml. A version that is in Production, or whose stage
        a command set, keeps its stage by default, so that running the pipeline again does not undo that decision.
    run_id : str, optional
        The run to register; by default the winner of the DVC stage model_train.
    force : bool
        Whether to promote the run even if the gate refuses it.
    reason : str
        Reason for the history.
    """

    stage: Stage | None = None
    run_id: str | None = None
    force: bool = False
    reason: str = ""


@dataclass(frozen=True)
class _Context:
    """The run to register and its version, if it has one, with the registry and the pipeline folder."""

    client: "MlflowClient"
    params: RegisterParams
    folder: Path
    run: FinishedRun
    version: "ModelVersion | None"


def register(params: RegisterParams, folder: Path, registration: Registration = Registration()) -> dict[str, Any]:
    """Register a run's logged model and set the stage of its version.

    Parameters
    ----------
    params : RegisterParams
        The section ``register`` of params.yaml.
    folder : Path
        The pipeline folder.
    registration : Registration

    Returns
    -------
    dict
        The content of mlartifacts/registration/registered_model.json.

    Raises
    ------
    GateError
        If the gate refuses to promote the model to Production; nothing is changed.
    PipelineError
        If the run cannot be registered or exported; the registry and the exports are unchanged.
    """
    client = open_store()
    end_stale_runs(client)
    with registry_lock():
        recover(client, params.model_name, folder)
        run = find_finished_run(client, folder, registration.run_id)
        context = _Context(client, params, folder, run, version_of_run(client, params.model_name, run.run_id))
        decision = _decide(context, registration)
        if decision.stage == "Production":
            decision = replace(decision, comparison=_apply_gate(context, registration.force))
        with rewriting_registered_model(folder):
            return _register(context, decision)


def _decide(context: _Context, registration: Registration) -> Decision:
    """Return the stage to set, and what decided it."""
    version, default = context.version, context.params.stage
    if registration.stage:
        return Decision(registration.stage, "forced" if registration.force else "command", registration.reason)
    if version is None:
        return Decision(default, "params.yaml", registration.reason)
    stage: Stage = version.current_stage  # type: ignore[assignment]
    last = last_transition(history(context.client, context.params.model_name), int(version.version))
    is_set_by_command = last is not None and last.how != "params.yaml"
    if stage == "Production" or is_set_by_command:
        progress(f"model_register: version {version.version} stays in {stage} (use --stage to change it)")
        return Decision(stage, "params.yaml", registration.reason)
    return Decision(default, "params.yaml", registration.reason)


def _apply_gate(context: _Context, force: bool) -> str:
    """Compare a run with the current production version.

    Returns
    -------
    str
        The result for the history.

    Raises
    ------
    GateError
        If the run is refused and `force` is not set.
    """
    client, name, run, version = context.client, context.params.model_name, context.run, context.version
    current = version_in_stage(client, name, "Production")
    if current is None or current.run_id == run.run_id:
        return ""
    undone = find_rollback(history(client, name), int(version.version)) if version else None
    if undone and version and not force:
        raise GateError(
            f"{name} version {version.version} was rolled back from Production on {undone.when[:16]} by {undone.by}"
            + (f": {undone.reason}" if undone.reason else ""),
            f"train another model, or promote it anyway: {_force_command(run)}",
        )
    try:
        verdict = judge(client, run, current, context.params.gate, context.folder)
    except PipelineError as error:
        if not force:
            raise
        return f"not compared: {error.problem}"
    progress(verdict.table)
    if verdict.promotes:
        return verdict.summary
    if not force:
        raise GateError(
            f"run {run.run_id[:8]} does not replace version {current.version}: see the lines marked FAILED above",
            f"nothing was changed; to promote it anyway: {_force_command(run)}",
        )
    progress("model_register: the gate refuses the run; continuing because of --force")
    return f"refused: {verdict.summary}"


def _force_command(run: FinishedRun) -> str:
    return f'python src/model_register.py --stage Production --run-id {run.run_id} --force --reason "…"'


def _register(context: _Context, decision: Decision) -> dict[str, Any]:
    client, name, folder, run = context.client, context.params.model_name, context.folder, context.run
    progress(f"model_register: {package(client, run, folder)}")
    version = context.version or create_version(client, name, run, str(exports_root(folder)))
    progress(
        f"model_register: run {run.run_id} {'was already' if context.version else 'is now'} "
        f"{version.name} version {version.version}"
    )
    try:
        export = export_version(client, version, run, folder) if decision.stage == "Production" else None
        change_stage(client, version, decision)
    except BaseException:
        if context.version is None and client.get_model_version(name, version.version).current_stage == "None":
            remove_version(client, version)
        raise
    finish_registration(client, version, run)
    if export:
        point_latest_to(export)
    elif unlink_latest(client, name, exports_root(folder)):
        progress("model_register: no version is in Production, so models/production/latest was removed")
    description = write_registered_model(client, run, version, folder)
    progress(f"model_register: {version.name} version {version.version} has stage {description['stage']}")
    if export:
        progress(f"model_register: models/production/latest points to {export.name}")
    return description
