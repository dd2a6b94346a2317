"""Reproduction of a registered version in a clone of its commit."""

import dataclasses
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Metric

from pipeline.errors import PipelineError
from pipeline.params.load import load_params
from pipeline.reproduce.clone import pipeline_folder_of_clone, scripts_folder, temporary_clone, write_params
from pipeline.reproduce.data import find_data
from pipeline.reproduce.original import OriginalTraining, Result, original_training
from pipeline.store.open import open_experiment, open_store
from pipeline.support.files import sha256
from pipeline.support.gpu import gpu_description
from pipeline.train.provenance import environment, git_tags
from support.folders import Trained
from support.repositories import ROOT, change_params, commit, git, shell

NAME = "small-model"


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by relative path."""
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder for temporary files; check that nothing is left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield folder
    assert list(folder.iterdir()) == []
    monkeypatch.setattr("tempfile.tempdir", None)


def test_version_is_reproduced_after_code_data_and_params_changed(
    trained: Trained,
    temporary: Path,
    tmp_path: Path,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    winner, client = trained.experiments[0], open_store()
    client.create_registered_model("reproduced")
    client.create_model_version("reproduced", f"models:/{winner.model_id}", winner.run_id)
    here = tmp_path / "here"
    git(trained.folder, "clone", "--quiet", ".", str(here))
    git(here, "config", "user.name", "Test")
    git(here, "config", "user.email", "test@localhost")
    (here / "src" / "model_train.py").write_text("raise SystemExit('wrong version')")
    (here / "data.csv").write_text("another\n1\n")
    change_params(here, register={"model_name": "reproduced"}, train={"seed": 7})
    commit(here, "later changes")
    monkeypatch.chdir(here)
    repository, store = file_hashes(here), file_hashes(trained.folder / "mlruns")

    assert call("reproduce", "--version", "1") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert f"version 1 is run {winner.run_id} ({winner.run_name}) of commit " in printed.out
    assert "the table data.csv was found in the commit" in printed.out
    assert f"  | model_train: {winner.run_name} wins" in printed.out
    assert f"identical: {len(winner.fitted.metrics) + 3} metrics, the tables, and the model file" in printed.out
    assert file_hashes(here) == repository
    assert file_hashes(trained.folder / "mlruns") == store
    assert git(here, "worktree", "list").count("\n") == 0


def test_run_keeps_the_order_of_params_and_its_pipeline_folder(trained: Trained, tmp_path: Path) -> None:
    run_id = trained.experiments[0].run_id
    stored = yaml.safe_load(mlflow.artifacts.load_text(f"runs:/{run_id}/params.yaml"))
    used = load_params().model_dump(by_alias=True)
    assert stored == used
    assert list(stored["dataset"]) == list(used["dataset"])
    assert list(stored["train"]["search"]["space"]["xgboost"]) == ["max_depth", "learning_rate"]
    assert open_store().get_run(run_id).data.tags["pipeline_folder"] == "."
    git(trained.folder, "clone", "--quiet", ".", str(tmp_path / "clone"))
    below = tmp_path / "clone" / "examples" / "one"
    below.mkdir(parents=True)
    assert git_tags(below)["pipeline_folder"] == "examples/one"


def stub(folder: Path, code: str) -> str:
    """Commit stub stages and return the commit."""
    (folder / "src" / "prepare.py").write_text("print('preparing')\n")
    (folder / "src" / "model_train.py").write_text(textwrap.dedent(code))
    commit(folder, "stub")
    return git(folder, "rev-parse", "HEAD")


# A training with a different result; it copies an empty database because creating one takes seconds.
DIFFERENT_TRAINING = """
    import os, pathlib, shutil, mlflow
    uri = os.environ["MLFLOW_TRACKING_URI"]
    shutil.copy(os.environ["EMPTY_DATABASE"], uri.removeprefix("sqlite:///"))
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    location = pathlib.Path(uri.removeprefix("sqlite:///")).parent.as_uri()
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("small", artifact_location=location))
    with mlflow.start_run(run_name="exp1_tuned"):
        mlflow.log_metrics({"test_rmse": 0.1 + 0.2, "cv_rmse_mean": 1.5})
        mlflow.set_tag("model_sha256", "b" * 64)
    """


def make_version(
    folder: Path, tags: dict[str, str | None], run_name: str = "exp1_tuned", artifacts: bool = True
) -> MlflowClient:
    """Record a run in the folder's store, as training does, and register it."""
    client = open_store()
    run_tags = {
        "git_commit": git(folder, "rev-parse", "HEAD"),
        "git_dirty": "false",
        "data_sha256": sha256(folder / "data.csv"),
        "model_sha256": "a" * 64,
        "pipeline_folder": ".",
    } | tags
    run = client.create_run(
        open_experiment(client, "small"),
        run_name=run_name,
        tags={name: value for name, value in run_tags.items() if value is not None},
    )
    client.log_batch(run.info.run_id, [Metric("test_rmse", 0.3, 0, 0), Metric("cv_rmse_mean", 1.5, 0, 0)])
    if artifacts:
        client.log_text(run.info.run_id, yaml.safe_dump(load_params().model_dump(by_alias=True)), "params.yaml")
        client.log_dict(
            run.info.run_id, {"python": "3.10.0", "packages": environment()["packages"]}, "environment.json"
        )
    client.set_terminated(run.info.run_id)
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME)
    client.create_model_version(NAME, f"{run.info.artifact_uri}/model", run.info.run_id)
    return client


def test_differences_are_reported_in_full(
    pipeline_folder: Path,
    temporary: Path,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    migrated_database: Path,
) -> None:
    stub(pipeline_folder, DIFFERENT_TRAINING)
    make_version(pipeline_folder, {"git_dirty": "true", "reproducible": "false"})
    monkeypatch.setenv("EMPTY_DATABASE", str(migrated_database))
    before = file_hashes(pipeline_folder / "mlruns")
    assert call("reproduce", "--version", "1") == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = [" ".join(line.split()) for line in printed.out.partition("differs:\n")[2].splitlines()]
    assert lines == [
        "result version 1 trained again",
        "test_rmse 0.3 0.30000000000000004",
        f"model file {'a' * 64} {'b' * 64}",
        "installed packages that differ:",
        "package version 1 trained again",
        f"python 3.10.0 {environment()['python']}",
        "note: tracked files differed from the commit (git_dirty), so other code may have run",
        "note: a time budget ended the search (train.search.time_budget), so another model may result",
    ]
    assert file_hashes(pipeline_folder / "mlruns") == before


@pytest.mark.usefixtures("_without_gpu")
def test_version_of_a_gpu_is_not_reproduced_without_one(
    pipeline_folder: Path, temporary: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    make_version(pipeline_folder, {"device": "cuda", "gpu_name": "NVIDIA A100"})
    assert call("reproduce", "--version", "1") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "small-model version 1 was trained on a GPU (NVIDIA A100), but XGBoost finds no GPU" in printed.err
    assert "-> run this on a machine with such a GPU" in printed.err


@pytest.mark.gpu
def test_another_gpu_is_noted(
    pipeline_folder: Path,
    temporary: Path,
    call: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    migrated_database: Path,
) -> None:
    stub(pipeline_folder, DIFFERENT_TRAINING)
    make_version(pipeline_folder, {"device": "cuda", "gpu_name": "NVIDIA GeForce 256"})
    monkeypatch.setenv("EMPTY_DATABASE", str(migrated_database))
    assert call("reproduce", "--version", "1") == 1
    note = f"the GPU was NVIDIA GeForce 256 and is now {gpu_description()['name']}, so another model may result"
    assert f"note: {note}" in capsys.readouterr().out


def test_failed_training_is_reported_with_its_last_lines(
    pipeline_folder: Path, temporary: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    stub(pipeline_folder, "print('x' * 10)\nraise SystemExit('error: the old code fails')")
    make_version(pipeline_folder, {})
    assert call("reproduce", "--version", "1") == 2
    printed = capsys.readouterr()
    assert "  | preparing\n  | xxxxxxxxxx\n  | error: the old code fails\n" in printed.out
    assert (
        "error: model_train of that commit failed in the clone (exit code 1):\nxxxxxxxxxx\nerror: the old"
        in printed.err
    )
    assert "Traceback" not in printed.err


def test_stopped_reproduction_leaves_nothing(pipeline_folder: Path, temporary: Path) -> None:
    stub(pipeline_folder, "import os, time\nprint('child', os.getpid(), flush=True)\ntime.sleep(60)")
    make_version(pipeline_folder, {})
    before = file_hashes(pipeline_folder)
    command = [sys.executable, str(ROOT / "src" / "reproduce.py"), "--version", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = next(int(line.split()[-1]) for line in process.stdout if "child" in line)
        assert list(temporary.iterdir())
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (143, "stopped\n")
    assert not Path(f"/proc/{child}").exists()
    assert file_hashes(pipeline_folder) == before


def test_version_without_its_inputs_raises(pipeline_folder: Path, temporary: Path) -> None:
    client = make_version(pipeline_folder, {})
    make_version(pipeline_folder, {}, run_name="xgboost_20260101_120000")
    make_version(pipeline_folder, {"git_commit": None})
    make_version(pipeline_folder, {"data_sha256": None})
    make_version(pipeline_folder, {}, artifacts=False)
    make_version(pipeline_folder, {"pipeline_folder": None})
    for number, problem in {
        9: "small-model has no version 9",
        2: "is xgboost_20260101_120000, a quick look, which no stage trained",
        3: "has no tag git_commit, so it cannot be reproduced",
        4: "has no tag data_sha256, so it cannot be reproduced",
        5: "environment.json of run [0-9a-f]+ is not in the store",
        6: "has no tag pipeline_folder, so it cannot be reproduced",
    }.items():
        with pytest.raises(PipelineError, match=problem):
            original_training(client, NAME, number)
    run_id = str(client.get_model_version(NAME, "1").run_id)
    assert original_training(client, NAME, 1).run_id == run_id
    client.delete_run(run_id)
    with pytest.raises(PipelineError, match=r"has been deleted(?s:.*)mlflow runs restore --run-id"):
        original_training(client, NAME, 1)
    client.create_model_version(NAME, str(client.get_model_version(NAME, "1").source), "f" * 32)
    with pytest.raises(PipelineError, match="of small-model version 7 is not in the store"):
        original_training(client, NAME, 7)


def test_commit_must_exist_and_belong_to_this_project(pipeline_folder: Path, temporary: Path) -> None:
    for name in ("f" * 40, "HEAD", "--upload-pack=touch"):
        with (
            pytest.raises(PipelineError, match=r"is not in the git repository(?s:.*)git fetch"),
            temporary_clone(pipeline_folder, name),
        ):
            pass
    git(pipeline_folder, "rm", "--quiet", "-r", "src/model_train.py")
    commit(pipeline_folder, "no stages")
    with temporary_clone(pipeline_folder, git(pipeline_folder, "rev-parse", "HEAD")) as clone:
        for place in ("elsewhere", "..", "/"):
            with pytest.raises(PipelineError, match="the commit has no pipeline folder"):
                pipeline_folder_of_clone(clone, place)
        assert pipeline_folder_of_clone(clone, ".") == clone
        with pytest.raises(PipelineError, match="the commit has no src/model_train"):
            scripts_folder(clone, clone)
    with temporary_clone(pipeline_folder, git(pipeline_folder, "rev-parse", "HEAD~1")) as clone:
        assert scripts_folder(clone, clone / "examples" / "one") == clone / "src"


def make_training(**changes: Any) -> OriginalTraining:
    """Return metadata of a run as the store holds it; `changes` replaces fields."""
    run = OriginalTraining(
        run_id="r",
        run_name="exp1_tuned",
        experiment_name="small",
        commit="c" * 40,
        is_dirty=False,
        has_time_budget=False,
        device="cpu",
        gpu_name="",
        pipeline_folder=".",
        params={"dataset": {"path": "data.csv"}},
        data_sha256="d" * 64,
        packages={},
        result=Result({}, {}),
    )
    return dataclasses.replace(run, **changes)


def test_table_is_found_by_its_hash(pipeline_folder: Path, tmp_path: Path, temporary: Path) -> None:
    first = sha256(pipeline_folder / "data.csv")
    tracked = git(pipeline_folder, "rev-parse", "HEAD")

    def find(path: str, digest: str, commit: str = tracked) -> tuple[str, str, bytes]:
        run = make_training(params={"dataset": {"path": path}}, data_sha256=digest, commit=commit)
        with temporary_clone(pipeline_folder, commit) as clone:
            data = find_data(run, pipeline_folder, clone)
            return data.path, data.origin, (clone / data.path).read_bytes()

    content = (pipeline_folder / "data.csv").read_bytes()
    assert find("data.csv", first) == ("data.csv", "found in the commit", content)

    (pipeline_folder / "data.csv").write_text("other\n")
    second = sha256(pipeline_folder / "data.csv")
    assert find("data.csv", second) == ("data.csv", "found at its original path", b"other\n")
    assert find("./data.csv", first) == ("./data.csv", "found in the commit", content)
    absolute = str(pipeline_folder / "data.csv")
    assert find(absolute, second) == (absolute, "found at its original path", b"other\n")
    shutil.copy("data.csv", tmp_path / "outside.csv")
    outside = str(tmp_path / "outside.csv")
    assert find("../outside.csv", second) == (outside, "found at its original path", b"other\n")

    with pytest.raises(PipelineError) as raised:
        find("data.csv", "d" * 64)
    assert f"data.csv with SHA-256 {'d' * 64} is not available: {absolute} is another file now" in str(raised.value)
    with pytest.raises(PipelineError, match=r"gone.csv does not exist(?s:.*)from a backup or with dvc pull"):
        find("gone.csv", first)


def test_table_is_fetched_from_dvc(pipeline_folder: Path, tmp_path: Path, temporary: Path) -> None:
    table = pipeline_folder / "raw" / "data.csv"
    table.parent.mkdir()
    table.write_text("in DVC\n")
    shell(pipeline_folder, "dvc", "add", "--quiet", "raw/data.csv")
    shell(pipeline_folder, "dvc", "remote", "add", "--quiet", "--default", "kept", str(tmp_path / "kept"))
    shell(pipeline_folder, "dvc", "push", "--quiet")
    commit(pipeline_folder, "data in DVC")
    run = make_training(
        params={"dataset": {"path": "raw/data.csv"}},
        data_sha256=sha256(table),
        commit=git(pipeline_folder, "rev-parse", "HEAD"),
    )
    table.write_text("newer\n")
    shutil.rmtree(pipeline_folder / ".dvc" / "cache")
    before = file_hashes(pipeline_folder)
    with temporary_clone(pipeline_folder, run.commit) as clone:
        data = find_data(run, pipeline_folder, clone)
        assert (data.path, data.origin) == ("raw/data.csv", "fetched from DVC")
        assert (clone / "raw" / "data.csv").read_text() == "in DVC\n"
    assert file_hashes(pipeline_folder) == before


def test_params_of_the_run_replace_those_of_the_commit_in_order(tmp_path: Path) -> None:
    """The order of formulas sets the order of features, and the order of the space that of the search."""
    committed = {"dataset": {"path": "d.csv", "derived": {"z": "1", "y": "2"}}, "train": {"seed": 1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(committed, sort_keys=False))
    used = {"dataset": {"derived": {"y": "2", "z": "3"}, "path": "d.csv"}, "train": {"cv_folds": 3, "seed": 2}}
    write_params(tmp_path, make_training(params=used), "/other/d.csv")
    written = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert written == {"dataset": used["dataset"] | {"path": "/other/d.csv"}, "train": used["train"]}
    assert list(written["dataset"]["derived"]) == ["y", "z"]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_device_of_the_run_replaces_that_of_its_params(device: str, tmp_path: Path) -> None:
    used = {"dataset": {"path": "d.csv"}, "train": {"device": "auto", "seed": 2}}
    write_params(tmp_path, make_training(params=used, device=device), "d.csv")
    written = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert written["train"] == {"device": device, "seed": 2}
