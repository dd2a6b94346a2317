"""Stage 3, model_register: a run becomes a version of the registered model, with a stage; Production is exported."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import GateError, PipelineError
from pipeline.params.schema import RegisterParams, Stage
from pipeline.register.export.export import export_version, exports_of, point_latest_at, take_latest_away
from pipeline.register.finished_run import FinishedRun, find_finished_run
from pipeline.register.gate.gate import judge
from pipeline.register.history import Decision, history, last_of, rolled_back_from
from pipeline.register.lock import registry_lock
from pipeline.register.package import package
from pipeline.register.recovery import recover
from pipeline.register.registered_model import rewriting_registered_model, write_registered_model
from pipeline.register.versions import create_version, in_stage, move, remove_version, settle, version_of
from pipeline.store.open import open_store
from pipeline.store.stale_runs import sweep_runs
from pipeline.support.progress import progress

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Registration:
    """What a registration is to do.

    Attributes
    ----------
    stage : str, optional
        The stage to give. When absent, ``register.stage`` of params.yaml; a version that is in Production, or that a
        command moved, then stays where it is, so that running the pipeline again undoes no one's decision.
    run_id : str, optional
        The run to register; the winner of stage model_train when absent.
    force : bool
        Whether to promote what the gate refuses.
    reason : str
        Why, for the history.
    """

    stage: Stage | None = None
    run_id: str | None = None
    force: bool = False
    reason: str = ""


@dataclass(frozen=True)
class _Case:
    """The run that is registered, its version if it has one, and the registry and pipeline folder it is about."""

    client: "MlflowClient"
    params: RegisterParams
    folder: Path
    run: FinishedRun
    version: "ModelVersion | None"


def register(params: RegisterParams, folder: Path, registration: Registration = Registration()) -> dict[str, Any]:
    """Register a run's logged model and give its version a stage.

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
        What is written to mlartifacts/registration/registered_model.json.

    Raises
    ------
    GateError
        When the model is to be put into Production and is not better than the one there; nothing is changed.
    PipelineError
        When the run cannot be registered or exported; registry and exports are then as they were.
    """
    client = open_store()
    sweep_runs(client)
    with registry_lock():
        recover(client, params.model_name, folder)
        run = find_finished_run(client, folder, registration.run_id)
        case = _Case(client, params, folder, run, version_of(client, params.model_name, run.run_id))
        decision = _decide(case, registration)
        if decision.stage == "Production":
            decision = replace(decision, comparison=_pass_gate(case, registration.force))
        with rewriting_registered_model(folder):
            return _register(case, decision)


def _decide(case: _Case, registration: Registration) -> Decision:
    """Return the stage to give, and by whose will."""
    version, of_params = case.version, case.params.stage
    if registration.stage:
        return Decision(registration.stage, "forced" if registration.force else "command", registration.reason)
    if version is None:
        return Decision(of_params, "params.yaml", registration.reason)
    stage: Stage = version.current_stage  # type: ignore[assignment]
    last = last_of(history(case.client, case.params.model_name), int(version.version))
    by_hand = last is not None and last.how != "params.yaml"
    if stage == "Production" or by_hand:
        progress(f"model_register: version {version.version} is in {stage} and stays there (--stage changes that)")
        return Decision(stage, "params.yaml", registration.reason)
    return Decision(of_params, "params.yaml", registration.reason)


def _pass_gate(case: _Case, force: bool) -> str:
    """Compare a run with the version in Production.

    Returns
    -------
    str
        What was found, for the history.

    Raises
    ------
    GateError
        When it is not to be promoted, unless that is forced.
    """
    client, name, run, version = case.client, case.params.model_name, case.run, case.version
    current = in_stage(client, name, "Production")
    if current is None or current.run_id == run.run_id:
        return ""
    back = rolled_back_from(history(client, name), int(version.version)) if version else None
    if back and version and not force:
        raise GateError(
            f"{name} version {version.version} was rolled back from Production on {back.when[:16]} by {back.by}"
            + (f": {back.reason}" if back.reason else ""),
            f"train another, or insist: {_insist(run)}",
        )
    try:
        verdict = judge(client, run, current, case.params.gate, case.folder)
    except PipelineError as error:
        if not force:
            raise
        return f"not compared: {error.problem}"
    progress(verdict.table)
    if verdict.promotes:
        return verdict.summary
    if not force:
        raise GateError(
            f"run {run.run_id[:8]} does not take the place of version {current.version}: see what FAILED above",
            f"nothing was changed; to insist: {_insist(run)}",
        )
    progress("model_register: the gate refuses it; going on because of --force")
    return f"refused: {verdict.summary}"


def _insist(run: FinishedRun) -> str:
    return f'python src/model_register.py --stage Production --run-id {run.run_id} --force --reason "…"'


def _register(case: _Case, decision: Decision) -> dict[str, Any]:
    client, name, folder, run = case.client, case.params.model_name, case.folder, case.run
    progress(f"model_register: {package(client, run, folder)}")
    version = case.version or create_version(client, name, run, str(exports_of(folder)))
    progress(
        f"model_register: run {run.run_id} {'was already' if case.version else 'is now'} "
        f"{version.name} version {version.version}"
    )
    try:
        export = export_version(client, version, run, folder) if decision.stage == "Production" else None
        move(client, version, decision)
    except BaseException:
        if case.version is None and client.get_model_version(name, version.version).current_stage == "None":
            remove_version(client, version)
        raise
    settle(client, version, run)
    if export:
        point_latest_at(export)
    elif take_latest_away(client, name, exports_of(folder)):
        progress("model_register: nothing is in Production now, so models/production/latest is removed")
    registered = write_registered_model(client, run, version, folder)
    progress(f"model_register: {version.name} version {version.version} has stage {registered['stage']}")
    if export:
        progress(f"model_register: models/production/latest points at {export.name}")
    return registered
