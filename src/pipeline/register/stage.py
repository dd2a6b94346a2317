"""Stage 3, model_register: a run becomes a version of the registered model, with a stage; Production is exported."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import GateError, PipelineError
from pipeline.params.schema import RegisterParams, Stage
from pipeline.register.candidate import Candidate, find_candidate
from pipeline.register.export.export import export_version, exports_of, point_latest_at, take_latest_away
from pipeline.register.gate.gate import judge
from pipeline.register.history import How, history, last_of, rolled_back_from
from pipeline.register.lock import registry_lock
from pipeline.register.package import package
from pipeline.register.recovery import recover
from pipeline.register.registered_model import unrecorded, write_record
from pipeline.register.versions import create_version, in_stage, move, remove_version, settle, version_of
from pipeline.store.open import open_store
from pipeline.store.stale_runs import sweep_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Request:
    """What is asked of a registration.

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


def register(params: RegisterParams, folder: Path, request: Request = Request()) -> dict[str, Any]:
    """Register a run's logged model and give its version a stage.

    Parameters
    ----------
    params : RegisterParams
        The section ``register`` of params.yaml.
    folder : Path
        The pipeline folder.
    request : Request

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
        candidate = find_candidate(client, folder, request.run_id)
        version = version_of(client, params.model_name, candidate.run_id)
        wanted, how = _wanted(client, params, version, request)
        promotes = wanted == "Production"
        comparison = _pass_gate(client, params, candidate, version, folder, request) if promotes else ""
        asked = (wanted, how, request.reason, comparison)
        with unrecorded(folder):
            return _register(client, params.model_name, candidate, version, folder, asked)


def _wanted(
    client: "MlflowClient", params: RegisterParams, version: "ModelVersion | None", request: Request
) -> tuple[Stage, How]:
    """Return the stage to give, and by whose will."""
    if request.stage:
        return request.stage, "forced" if request.force else "command"
    if version is None:
        return params.stage, "params.yaml"
    stage: Stage = version.current_stage  # type: ignore[assignment]
    last = last_of(history(client, params.model_name), int(version.version))
    by_hand = last is not None and last.how != "params.yaml"
    if stage == "Production" or by_hand:
        print(f"model_register: version {version.version} is in {stage} and stays there (--stage changes that)")
        return stage, "params.yaml"
    return params.stage, "params.yaml"


def _pass_gate(
    client: "MlflowClient",
    params: RegisterParams,
    candidate: Candidate,
    version: "ModelVersion | None",
    folder: Path,
    request: Request,
) -> str:
    """Compare a candidate, whose version is given if it has one, with the version in Production.

    Returns
    -------
    str
        What was found, for the history.

    Raises
    ------
    GateError
        When it is not to be promoted, unless that is forced.
    """
    name = params.model_name
    current = in_stage(client, name, "Production")
    if current is None or current.run_id == candidate.run_id:
        return ""
    back = rolled_back_from(history(client, name), int(version.version)) if version else None
    if back and version and not request.force:
        raise GateError(
            f"{name} version {version.version} was rolled back from Production on {back.when[:16]} by {back.by}"
            + (f": {back.reason}" if back.reason else ""),
            f"train another, or insist: {_insist(candidate)}",
        )
    try:
        verdict = judge(client, candidate, current, params.gate, folder)
    except PipelineError as error:
        if not request.force:
            raise
        return f"not compared: {error.problem}"
    print(verdict.table)
    if verdict.promotes:
        return verdict.summary
    if not request.force:
        raise GateError(
            f"run {candidate.run_id[:8]} does not take the place of version {current.version}: see what FAILED above",
            f"nothing was changed; to insist: {_insist(candidate)}",
        )
    print("model_register: the gate refuses it; going on because of --force")
    return f"refused: {verdict.summary}"


def _insist(candidate: Candidate) -> str:
    return f'python src/model_register.py --stage Production --run-id {candidate.run_id} --force --reason "…"'


def _register(
    client: "MlflowClient",
    name: str,
    candidate: Candidate,
    version: "ModelVersion | None",
    folder: Path,
    asked: tuple[Stage, How, str, str],
) -> dict[str, Any]:
    wanted, how, reason, comparison = asked
    print(f"model_register: {package(client, candidate, folder)}")
    created = version is None
    if version is None:
        version = create_version(client, name, candidate, str(exports_of(folder)))
    print(
        f"model_register: run {candidate.run_id} {'is now' if created else 'was already'} "
        f"{version.name} version {version.version}"
    )
    try:
        export = export_version(client, version, candidate, folder) if wanted == "Production" else None
        move(client, version, wanted, how, reason, comparison)
    except BaseException:
        if created and client.get_model_version(name, version.version).current_stage == "None":
            remove_version(client, version)
        raise
    settle(client, version, candidate)
    if export:
        point_latest_at(export)
    elif take_latest_away(client, name, exports_of(folder)):
        print("model_register: nothing is in Production now, so models/production/latest is removed")
    registered = write_record(client, candidate, version, folder)
    print(f"model_register: {version.name} version {version.version} has stage {registered['stage']}")
    if export:
        print(f"model_register: models/production/latest points at {export.name}")
    return registered
