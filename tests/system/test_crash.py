"""Scripts killed at random moments: their outputs stay intact, and the next complete run cleans up."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from pipeline.register.export.files import export_problems
from pipeline.register.history import history
from pipeline.register.versions import PENDING
from pipeline.store.open import open_store
from pipeline.support.files import sha256
from support.effort import times
from support.folders import Trained, enter
from support.repositories import shell
from support.zygote import Zygote

pytestmark = pytest.mark.xdist_group("crash")  # share a module-scoped fixture

MODEL = "small-model"
EXPORTS = Path("models/production")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)


@pytest.fixture(scope="module")
def repository(
    trained_module: Trained, migrated_database: Path, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a prepared and trained repository."""
    folder = tmp_path_factory.mktemp("crash") / "repository"
    shutil.copytree(trained_module.folder, folder, symlinks=True, ignore=shutil.ignore_patterns("mlruns"))
    (folder / "mlruns").mkdir()
    shutil.copy(migrated_database, folder / "mlruns" / "mlflow.db")
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(folder, monkeypatch)
        zygote.run(folder, "prepare")
        zygote.run(folder, "model_train")
    return folder


@pytest.fixture
def folder(repository: Path, zygote: Zygote, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the repository as the current folder."""
    enter(repository, monkeypatch)
    monkeypatch.setenv("TMPDIR", str(zygote.temporary))
    return repository


def kill(zygote: Zygote, rng: random.Random, longest: float, *command: str) -> tuple[int, float]:
    """Start a script and kill it after a random delay; return its exit code and the longest useful delay.

    A kill that comes too late is repeated with a shorter delay, because the speed of the machine varies with its load.
    """
    while True:
        script = zygote.start(Path.cwd(), *command)
        delay = rng.uniform(0, longest)
        time.sleep(delay)
        script.send_signal(rng.choice(SIGNALS))
        code, output = zygote.wait(script)
        assert "Traceback" not in output, output
        is_refused = code == 2 and "there is no version to roll back to" in output
        assert is_refused or code in (0, -signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM), output
        if code:
            return code, longest
        longest = delay


def check_intact() -> None:
    """Check what holds at any moment: every file under its final name is complete, every version has its model."""
    for table in Path("data/processed").glob("*.parquet"):
        assert len(pd.read_parquet(table)) > 20
    for name in Path("mlartifacts").rglob("*.json"):
        if not name.name.startswith("."):
            assert json.loads(name.read_text())
    for export in EXPORTS.glob("v*"):
        assert not export_problems(export)
    if (EXPORTS / "latest").is_symlink():
        assert not export_problems(EXPORTS / "latest")
    client = open_store()
    for version in client.search_model_versions(f"name = '{MODEL}'"):
        run = client.get_run(str(version.run_id))
        assert run.info.status == "FINISHED"
        (file,) = Path("mlruns").glob(f"*/models/{run.outputs.model_outputs[0].model_id}/artifacts/model.ubj")
        assert sha256(file) == run.data.tags["model_sha256"] == version.tags["model_sha256"]


def check_clean(folder: Path, zygote: Zygote, client: MlflowClient) -> None:
    """Check what holds after the next complete run: nothing unfinished is left."""
    check_intact()
    experiments = [str(experiment.experiment_id) for experiment in client.search_experiments()]
    assert not client.search_runs(experiments, "attributes.status = 'RUNNING'")
    for run in client.search_runs(experiments, "attributes.status = 'FAILED'"):
        assert run.data.tags["error"]
    assert not [model.name for model in client.search_logged_models(experiments) if str(model.status) == "PENDING"]
    for model in client.search_registered_models():
        versions = client.search_model_versions(f"name = '{model.name}'")
        assert versions
        assert all(PENDING not in version.tags for version in versions)
        stages = {version.current_stage.lower(): str(version.version) for version in versions}
        assert {name: str(number) for name, number in model.aliases.items()} == {
            stage: number for stage, number in stages.items() if stage in ("staging", "production")
        }
        assert all(move.done for move in history(client, model.name))
        production = stages.get("production")
        if production:
            assert (EXPORTS / "latest").readlink() == Path(f"v{int(production):03d}")
    leftovers = [path for path in folder.rglob(".*.tmp") if ".dvc" not in path.parts]
    leftovers += list(zygote.temporary.iterdir())
    assert not leftovers


def kill_summary(script: str, codes: list[int]) -> str:
    """Return a line about the survived kills; check that at least half of them came in time."""
    killed = sum(code == -signal.SIGKILL for code in codes)
    stopped = sum(code in (-signal.SIGTERM, 128 + signal.SIGTERM) for code in codes)
    assert killed + stopped >= len(codes) // 2
    late = len(codes) - killed - stopped
    return f"{script}: {killed + stopped} kills survived ({killed} SIGKILL, {stopped} SIGTERM), {late} came too late"


@pytest.mark.parametrize(("script", "kills"), [("prepare", times(16, 6)), ("model_train", times(10, 3))])
def test_stage_survives_kills(
    folder: Path, zygote: Zygote, told: Callable[[str], None], script: str, kills: int
) -> None:
    rng, codes = random.Random(kills), []
    longest = zygote.run(folder, script)
    for _ in range(kills):
        code, longest = kill(zygote, rng, longest, script)
        codes.append(code)
        check_intact()
    zygote.run(folder, script)
    told(kill_summary(script, codes))
    check_clean(folder, zygote, open_store())


def test_registration_and_rollback_survive_kills(folder: Path, zygote: Zygote, told: Callable[[str], None]) -> None:
    rng, codes = random.Random(3), []
    client = open_store()
    runs = client.search_runs([client.get_experiment_by_name("small").experiment_id], "attributes.status = 'FINISHED'")
    trained = [run.info.run_id for run in runs if "model_sha256" in run.data.tags]
    forced = ("--stage", "Production", "--force", "--reason", "test", "--run-id")
    zygote.run(folder, "model_register", *forced, trained[0])
    longest = dict.fromkeys(range(4), zygote.run(folder, "model_register", *forced, trained[1]))
    for number in range(times(24, 8)):
        kind = number % 4
        arguments = [
            (*forced, rng.choice(trained)),
            ("--rollback",),
            ("--stage", "Staging", "--run-id", rng.choice(trained)),
        ]
        if kind == 0:  # so that exports are written, not only verified
            latest = (EXPORTS / "latest").resolve().name  # "latest" if no version is in Production
            for export in EXPORTS.glob("v*"):
                if export.name != latest:
                    shutil.rmtree(export)
        code, longest[kind] = kill(zygote, rng, longest[kind], "model_register", *arguments[max(0, kind - 1)])
        codes.append(code)
        check_intact()
    zygote.run(folder, "model_register", *forced, trained[2])
    told(kill_summary("model_register", codes))
    check_clean(folder, zygote, client)


def test_dvc_repro_survives_kills(folder: Path, zygote: Zygote, told: Callable[[str], None]) -> None:
    rng, codes = random.Random(4), []
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for _ in range(times(4, 1)):
        with Path("log").open("w") as log:
            process = subprocess.Popen(
                ["dvc", "repro", "--force"], env=environment, stdout=log, stderr=log, start_new_session=True
            )
            time.sleep(rng.uniform(2, 22))
            os.killpg(process.pid, signal.SIGKILL)
            codes.append(process.wait())
        check_intact()
    shell(folder, "dvc", "repro")
    told(kill_summary("dvc repro", codes))
    check_clean(folder, zygote, open_store())
    assert "up to date" in shell(folder, "dvc", "repro")


def test_runs_of_other_hosts_and_live_processes_are_unchanged(pipeline_folder: Path) -> None:
    from pipeline.store.open import open_experiment
    from pipeline.store.stale_runs import end_stale_runs
    from pipeline.support.processes import owner_tags

    client = open_store()
    experiment_id = open_experiment(client, "small")
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    alive = owner_tags()
    dead = alive | {"pid": ended.stdout.strip()}
    reused = alive | {"process_started": "1000000000"}
    elsewhere = dead | {"host": "another-host"}
    runs = {
        name: client.create_run(experiment_id, tags=tags).info.run_id
        for name, tags in {
            "alive": alive,
            "dead": dead,
            "reused": reused,
            "elsewhere": elsewhere,
            "untagged": {},
        }.items()
    }
    end_stale_runs(client)
    status = {name: client.get_run(run_id).info.status for name, run_id in runs.items()}
    assert status == {
        "alive": "RUNNING",
        "dead": "FAILED",
        "reused": "FAILED",
        "elsewhere": "RUNNING",
        "untagged": "RUNNING",
    }
    assert "is gone" in client.get_run(runs["dead"]).data.tags["error"]
