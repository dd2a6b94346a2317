"""The registry: promotion through the gate, rollback, listings, concurrent moves and recovery."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from pipeline.errors import GateError, RegistryError
from pipeline.params.schema import RegisterParams
from pipeline.register.history import Decision, history, production_order
from pipeline.register.listing import history_table, versions_table
from pipeline.register.lock import registry_lock
from pipeline.register.recovery import recover
from pipeline.register.rollback import rollback
from pipeline.register.stage import Registration, register
from pipeline.register.versions import CREATED_BY, PENDING, change_stage
from pipeline.store.open import open_store
from pipeline.support.processes import owner
from support.folders import Trained, copy_pipeline_folder, enter
from support.processes import NO_PROCESS
from support.registry import state

EXPORTS = Path("models/production")
pytestmark = pytest.mark.xdist_group("registry")  # share a module-scoped fixture


def forced(run_id: str, reason: str = "test") -> Registration:
    """Return a registration that promotes a run to Production without the gate."""
    return Registration("Production", run_id, force=True, reason=reason)


@dataclass(frozen=True)
class Three:
    """A pipeline folder with three versions of a model, promoted to Production one after the other."""

    folder: Path
    runs: list[str]
    params = RegisterParams(model_name="three")


@pytest.fixture(scope="module")
def three_module(trained_module: Trained, tmp_path_factory: pytest.TempPathFactory) -> Three:
    """Promote three runs in a copy of the trained folder."""
    three = Three(tmp_path_factory.mktemp("three") / "repository", [each.run_id for each in trained_module.experiments])
    copy_pipeline_folder(trained_module.folder, three.folder)
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(three.folder, monkeypatch)
        for run_id in three.runs:
            register(three.params, three.folder, forced(run_id))
    return three


@pytest.fixture
def three(three_module: Three, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Three:
    """Return a copy of that folder, as the current folder."""
    copy_pipeline_folder(three_module.folder, tmp_path / "repository")
    enter(tmp_path / "repository", monkeypatch)
    return replace(three_module, folder=tmp_path / "repository")


def test_worse_model_is_refused_and_nothing_changes(
    trained: Trained, params: RegisterParams, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ranked = sorted(trained.experiments, key=lambda each: each.fitted.metrics["test_rmse"])
    best, worst = ranked[0].run_id, ranked[-1].run_id
    content = yaml.safe_load(Path("params.yaml").read_text())
    before_params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(yaml.safe_dump(content | {"register": {"model_name": params.model_name}}))
    try:
        register(params, trained.folder, Registration("Production", best))
        record = Path("mlartifacts/registration/registered_model.json")
        client = open_store()
        before = (state(client, params.model_name), record.read_bytes(), history(client, params.model_name))
        exports = sorted(path.name for path in EXPORTS.iterdir())
        capsys.readouterr()
        assert call("model_register", "--stage", "Production", "--run-id", worst) == 3
        printed = capsys.readouterr()
        assert "refused:" in printed.err
        assert "--force --reason" in printed.err
        assert "rmse" in printed.out
        assert before == (state(client, params.model_name), record.read_bytes(), history(client, params.model_name))
        assert exports == sorted(path.name for path in EXPORTS.iterdir())

        reason = "the costs of errors changed"
        assert call("model_register", "--stage", "Production", "--run-id", worst, "--force", "--reason", reason) == 0
        last = history(client, params.model_name)[-1]
        assert (last.how, last.reason, last.version, last.archived) == ("forced", reason, 2, [1])
        assert last.comparison.startswith("refused: ")
        assert state(client, params.model_name) == {1: ("Archived", []), 2: ("Production", ["production"])}
    finally:
        Path("params.yaml").write_text(before_params)


def test_better_model_is_promoted_and_comparison_is_recorded(trained: Trained, params: RegisterParams) -> None:
    ranked = sorted(trained.experiments, key=lambda each: each.fitted.metrics["test_rmse"])
    lenient = params.model_copy(update={"gate": params.gate.model_copy(update={"confidence": 0.5})})
    register(lenient, trained.folder, Registration("Production", ranked[-1].run_id))
    assert register(lenient, trained.folder, Registration("Production", ranked[0].run_id))["version"] == 2
    last = history(open_store(), params.model_name)[-1]
    assert (last.how, last.archived, last.done) == ("command", [1], True)
    assert "rmse" in last.comparison


def test_long_multiline_reason_is_shortened_to_one_line(trained: Trained, params: RegisterParams) -> None:
    reason = "first\n\nsecond\t" + "third " * 2000
    register(params, trained.folder, Registration("Production", trained.experiments[0].run_id, reason=reason))
    recorded = history(open_store(), params.model_name)[-1].reason
    assert recorded == " ".join(reason.split())[:1000]
    assert recorded in history_table(params.model_name).splitlines()[1]


@pytest.mark.parametrize("first", [1, 2])
def test_concurrent_moves_from_two_machines_leave_one_holder(
    first: int, trained: Trained, params: RegisterParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    for experiment in trained.experiments[:2]:
        register(params, trained.folder, Registration("Archived", experiment.run_id))
    client = open_store()
    versions = {number: client.get_model_version(params.model_name, str(number)) for number in (1, 2)}
    transition = MlflowClient.transition_model_version_stage

    def move_both(self: MlflowClient, *arguments: Any, **_: bool) -> object:
        monkeypatch.setattr(MlflowClient, "transition_model_version_stage", transition)
        change_stage(client, versions[3 - first], Decision("Staging", "command"))
        return transition(self, *arguments)  # without archiving the other version

    monkeypatch.setattr(MlflowClient, "transition_model_version_stage", move_both)
    change_stage(client, versions[first], Decision("Staging", "command"))
    assert state(client, params.model_name) == {1: ("Archived", []), 2: ("Staging", ["staging"])}
    last = history(client, params.model_name)[-1]
    assert (last.version, last.stage, last.done) == (1, "Archived", True)
    assert last.reason == "version 2 was moved to Staging at the same time"
    assert "not in the history" not in history_table(params.model_name)


def test_repeated_rollback_goes_further_back(three: Three) -> None:
    client, name = open_store(), three.params.model_name
    assert rollback(three.params, three.folder, reason="orders of magnitude off") == 2
    assert state(client, name) == {1: ("Archived", []), 2: ("Production", ["production"]), 3: ("Archived", [])}
    assert (EXPORTS / "latest").readlink() == Path("v002")
    record = json.loads(Path("mlartifacts/registration/registered_model.json").read_text())
    assert (record["version"], record["stage"]) == (3, "Archived")
    assert rollback(three.params, three.folder) == 1
    with pytest.raises(RegistryError, match="no version to roll back to: version 1 is the first"):
        rollback(three.params, three.folder)
    assert rollback(three.params, three.folder, to=3) == 3
    assert (EXPORTS / "latest").readlink() == Path("v003")
    moves = history(client, name)
    assert [(move.version, move.how) for move in moves] == [
        (1, "forced"),
        (2, "forced"),
        (3, "forced"),
        (2, "rollback"),
        (1, "rollback"),
        (3, "rollback"),
    ]
    assert moves[3].reason == "orders of magnitude off"
    for to, message in ((3, "is already in Production"), (9, "has no version 9")):
        with pytest.raises(RegistryError, match=message):
            rollback(three.params, three.folder, to=to)


def test_rolled_back_version_is_not_promoted_automatically(three: Three) -> None:
    rollback(three.params, three.folder, reason="negative prices")
    automatic = three.params.model_copy(update={"stage": "Production"})
    assert register(automatic, three.folder, Registration(run_id=three.runs[2]))["stage"] == "Archived"
    with pytest.raises(GateError, match=r"version 3 was rolled back from Production on .*: negative prices"):
        register(three.params, three.folder, Registration("Production", three.runs[2]))
    assert register(three.params, three.folder, forced(three.runs[2]))["stage"] == "Production"


def test_rollback_to_a_version_never_in_production_is_refused(trained: Trained, params: RegisterParams) -> None:
    first, second = (experiment.run_id for experiment in trained.experiments[:2])
    with pytest.raises(RegistryError, match="no version to roll back to"):
        rollback(params, trained.folder)
    register(params, trained.folder, Registration("Staging", first))
    register(params, trained.folder, Registration("Production", second))
    with pytest.raises(RegistryError, match=r"never been in Production(?s:.*)--run-id " + first):
        rollback(params, trained.folder, to=1)


def test_list_and_history_show_what_replaced_each_version(three: Three) -> None:
    rollback(three.params, three.folder, reason="negative prices")
    table = versions_table(three.params.model_name).split("\n")
    assert table[0].split()[:5] == ["version", "stage", "alias", "run", "rmse"]
    assert [line.split()[:4] for line in table[1:]] == [
        ["1", "Archived", "-", three.runs[0][:8]],
        ["2", "Production", "production", three.runs[1][:8]],
        ["3", "Archived", "-", three.runs[2][:8]],
    ]
    assert "rollback: negative prices" in table[2]
    assert "rolled back by version 2: negative prices" in table[3]
    lines = history_table(three.params.model_name).split("\n")
    assert "gate: " in "\n".join(lines)
    assert len([line for line in lines if re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line)]) == 4
    assert lines[-1] == "    archived version 3"

    client = open_store()
    with pytest.warns(FutureWarning, match="stages"):
        client.transition_model_version_stage(three.params.model_name, "1", "Staging")
    assert "note: version 1 is in Staging, which is not in the history" in history_table(three.params.model_name)


def test_production_line_follows_the_promotions() -> None:
    def moves(*steps: tuple[int, str]) -> Any:
        from pipeline.register.history import transition

        return [transition(version, "None", [], Decision("Production", how)) for version, how in steps]  # type: ignore[arg-type]

    assert production_order(moves((1, "command"), (2, "forced"), (3, "command"))) == [1, 2, 3]
    assert production_order(moves((1, "command"), (2, "forced"), (3, "command"), (2, "rollback"))) == [1, 2]
    assert production_order(moves((1, "command"), (2, "forced"), (1, "rollback"), (3, "command"))) == [1, 3]
    assert production_order(moves((1, "command"), (2, "forced"), (1, "command"))) == [2, 1]


def test_conflicting_options_are_named(
    trained: Trained, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in {
        ("--stage", "Production", "--force"): "--reason",
        ("--force", "--reason", "x"): "--stage Production",
        ("--to", "1"): "--rollback",
        ("--rollback", "--run-id", "x"): "--to VERSION",
        ("--list", "--reason", "x"): "--reason is for changes",
        ("--list", "--history"): "not allowed with",
    }.items():
        assert call("model_register", *arguments) == 2
        assert message in capsys.readouterr().err


def test_rollback_works_without_the_current_version(three: Three) -> None:
    client, record = open_store(), Path("mlartifacts/registration/registered_model.json")
    client.delete_model_version(three.params.model_name, "3")
    assert rollback(three.params, three.folder) == 2
    assert not record.exists(), "the record names a deleted version, so the stage must run again"
    client.delete_run(three.runs[0])
    try:
        with pytest.raises(
            RegistryError, match=r"cannot roll back to version 1: .* has been deleted(?s:.*)--to VERSION"
        ):
            rollback(three.params, three.folder)
    finally:
        client.restore_run(three.runs[0])
    assert state(client, three.params.model_name) == {1: ("Archived", []), 2: ("Production", ["production"])}


def test_rollback_skips_a_manually_archived_version(three: Three) -> None:
    register(three.params, three.folder, Registration("Archived", three.runs[2]))
    assert not (EXPORTS / "latest").is_symlink()
    assert rollback(three.params, three.folder) == 2
    assert (EXPORTS / "latest").readlink() == Path("v002")


def test_next_registration_undoes_a_killed_first_registration(
    trained: Trained, params: RegisterParams, progress_lines: list[str]
) -> None:
    client, run_id = open_store(), trained.experiments[0].run_id
    dead_owner = f"{owner().split('~')[0]}~{NO_PROCESS}~1000000000"
    elsewhere = trained.folder / "elsewhere" / "models" / "production"
    for exports, is_kept in ((str(EXPORTS.resolve()), False), (str(elsewhere), True)):
        client.create_registered_model(params.model_name, tags={CREATED_BY: dead_owner})
        pending = {PENDING: json.dumps({"owner": dead_owner, "exports": exports})}
        client.create_model_version(params.model_name, f"runs:/{run_id}/model", run_id=run_id, tags=pending)
        export = Path(exports) / "v001"
        export.mkdir(parents=True)
        (export / "metadata.json").write_text(json.dumps({"run_id": run_id}))
        with registry_lock():
            recover(client, params.model_name, Path())
        assert "whose registration was interrupted" in progress_lines[-1]
        progress_lines.clear()
        assert not client.search_registered_models(f"name = '{params.model_name}'")
        assert export.exists() is is_kept, "only the exports of this checkout are removed"
    assert register(params, trained.folder, Registration("Production"))["version"] == 1
