"""Prepare and train on a Dask cluster: the same results on any workers, and through the loss of workers."""

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pandas as pd
import pytest
import requests

from pipeline.errors import PipelineError
from pipeline.learn.search import search
from pipeline.params.load import load_params
from pipeline.prepare.stage import prepare
from pipeline.store.open import open_store
from pipeline.support import cluster as clusters
from pipeline.support.cluster import Cluster, connected
from pipeline.support.files import sha256
from pipeline.support.progress import progress_handler
from pipeline.train import cluster_fits
from pipeline.train.feature_rows import RowsOnDisk
from pipeline.train.fit import Fitter
from pipeline.train.shards import train_on_shards
from pipeline.train.stage import Training, train
from pipeline.train.tables import load_tables
from support.clusters import BRIDGE_ADDRESS, cut_off, in_namespace, namespaces, scheduler, tracking_server, worker
from support.effort import times
from support.figures import without_figures
from support.folders import SMALL, enter, make_pipeline_folder
from support.parts import force_parts, force_written_parts
from support.repositories import change_params, shell
from support.services import service
from support.standard import TARGETS, TRAIN, make_folder

pytestmark = pytest.mark.xdist_group("cluster")

XGBOOST = {**TRAIN, "models": ["xgboost"], "shards": 3}
PART_ROWS = 35
WORKER = r"tcp://\S+"
N_ROWS = 20_000
ROUNDS = 150
# Everything that XGBoost samples, so that a fit that continues must restore it.
PARAMS = {
    "tree_method": "hist",
    "seed": 7,
    "max_depth": 5,
    "subsample": 0.7,
    "colsample_bytree": 0.6,
    "colsample_bylevel": 0.8,
    "objective": "reg:squarederror",
    "base_score": 0.5,
    "learning_rate": 0.1,
}


def train_on(engine: str, folder: Path) -> Training:
    params = load_params()
    train_params = params.train.model_copy(update={"engine": engine})
    with without_figures():
        return train(params.model_copy(update={"train": train_params}), folder)


def names(training: Training) -> dict[str, list[set[str]]]:
    """Return the names of all items that the store has of each experiment."""
    client, found = open_store(), {}
    for experiment in training.experiments:
        run = client.get_run(experiment.run_id)
        model = client.get_logged_model(experiment.model_id)
        files = {file.path for file in client.list_artifacts(experiment.run_id)}
        items: list[Any] = [run.data.params, run.data.metrics, run.data.tags, files, model.params, model.tags]
        found[experiment.run_name] = [set(each) for each in items]
    return found


@pytest.mark.parametrize("kind", ["regression", "multiclass"])
def test_a_run_on_a_cluster_has_the_items_of_a_local_one(
    kind: str, tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "pipeline", migrated_database)
    enter(folder, monkeypatch)
    task = "regression" if kind == "regression" else "classification"
    change_params(folder, dataset={"path": "data.csv", "target": TARGETS[kind], "task": task}, train=XGBOOST)
    force_written_parts(monkeypatch, PART_ROWS)
    prepare(load_params().dataset, folder)
    local, on_machine = (train_on(engine, folder) for engine in ("local", "dask"))
    with (
        scheduler(tmp_path) as address,
        worker(tmp_path, address, "one"),  # its current folder is another one
        dask.config.set({"scheduler-address": address}),
    ):
        on_scheduler = train_on("dask", folder)
    assert names(on_machine) == names(local)
    hashes = [
        {each.run_name: each.model_sha256 for each in training.experiments} for training in (on_machine, on_scheduler)
    ]
    assert hashes[0] == hashes[1]
    tags = open_store().get_run(on_machine.winner.run_id).data.tags
    assert (tags["engine"], tags["shards"]) == ("dask", "3")
    assert int(tags["workers"]) >= 1


def test_prepare_gives_the_same_files_on_a_cluster(
    pipeline_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.read_csv("data.csv")
    Path("table").mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(table)), 4)):
        table.iloc[part].to_parquet(f"table/{number}.parquet")
    params = load_params().dataset.model_copy(update={"path": "table"})
    force_parts(monkeypatch, PART_ROWS)
    force_written_parts(monkeypatch, PART_ROWS)

    def outputs() -> dict[str, str]:
        files = [path for name in ("data/processed", "models", "mlartifacts") for path in Path(name).rglob("*")]
        return {str(file): sha256(file) for file in files if file.is_file()}

    prepare(params, pipeline_folder)
    local = outputs()
    with connected(pipeline_folder) as cluster:
        prepare(params, cluster.folder, cluster.run)
    assert outputs() == local
    assert len(local) > 6
    broken = table.assign(price=[*table["price"][:-1], np.inf])
    broken.iloc[110:].to_parquet("table/3.parquet")
    with (
        connected(pipeline_folder) as cluster,
        pytest.raises(PipelineError, match=r"'price'.*row .* of .*3\.parquet"),
    ):
        prepare(params, cluster.folder, cluster.run)
    assert outputs() == local


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> RowsOnDisk:
    """Return training rows on disk, in two files."""
    folder, rng = tmp_path_factory.mktemp("rows"), np.random.default_rng(0)
    X = rng.normal(size=(8, N_ROWS)).astype(np.float32)
    np.save(folder / "target.npy", X[0] * X[1] + np.sin(X[2]) + rng.normal(size=N_ROWS) * 0.3)
    half = N_ROWS // 2
    for number in range(2):
        np.save(folder / f"{number}.npy", X[:, number * half : (number + 1) * half])
    features = [f"x{number}" for number in range(8)]
    files = [folder / "0.npy", folder / "1.npy"]
    return RowsOnDisk(files, np.array([0, half, N_ROWS]), features, features, folder / "target.npy")


def fit(cluster: Cluster, rows: RowsOnDisk, n_rounds: int = ROUNDS) -> bytes:
    return bytes(train_on_shards(cluster, rows, PARAMS, n_rounds, n_shards=4).save_raw("ubj"))


@pytest.fixture(scope="module")
def expected(rows: RowsOnDisk) -> bytes:
    """Return the model that a fit without a loss gives."""
    with connected(rows.files[0].parent) as cluster:
        return fit(cluster, rows)


class Killer(threading.Thread):
    """Kills a random worker at a random time in a fit, and again whenever the fit has made progress since."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        super().__init__()
        self.cluster, self.random = cluster, random.Random(seed)
        self.stopped, self.kills = threading.Event(), 0

    def run(self) -> None:
        while not self.stopped.wait(self.random.uniform(0, 3)):
            found = self.cluster.client.run(os.getpid, on_error="ignore")
            if pids := [pid for pid in found.values() if isinstance(pid, int)]:
                os.kill(self.random.choice(pids), signal.SIGKILL)
                self.kills += 1
                killed = time.time()
                while not self.has_checkpoint_after(killed) and not self.stopped.wait(0.05):
                    pass

    def has_checkpoint_after(self, moment: float) -> bool:
        with suppress(FileNotFoundError):  # the folder of an attempt that has ended
            return any(file.stat().st_mtime > moment for file in self.cluster.folder.glob("*/*/checkpoint.ubj"))
        return False


def test_a_fit_survives_the_loss_of_workers_with_the_same_model(rows: RowsOnDisk, expected: bytes) -> None:
    kills, lines = 0, list[str]()
    with progress_handler(lines.append), connected(rows.files[0].parent) as cluster:
        for seed in range(100):
            killer = Killer(cluster, seed)
            killer.start()
            try:
                assert fit(cluster, rows) == expected
            finally:
                killer.stopped.set()
                killer.join()
            kills += killer.kills
            if kills >= times(60, 20):
                break
    assert kills >= 20
    lost = [line for line in lines if "continuing after round" in line]
    assert len(lost) >= kills / 4  # a kill between two fits, or of a worker that is starting, costs nothing


def test_a_fit_that_never_gets_further_ends_with_a_message(rows: RowsOnDisk) -> None:
    wrong = {**PARAMS, "objective": "reg:no_such_objective"}
    with connected(rows.files[0].parent) as cluster, pytest.raises(PipelineError) as raised:
        train_on_shards(cluster, rows, wrong, ROUNDS, n_shards=2)
    assert "the fit of 2 shards failed 5 times in a row after round 0: " in str(raised.value)
    assert "reg:no_such_objective" in str(raised.value)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_on_workers_gives_the_scores_of_a_local_one(
    pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    params = load_params()
    prepare(params.dataset, pipeline_folder)
    data = load_tables(pipeline_folder, params).data
    search_params = params.train.search.model_copy(update={"sampler": sampler})
    train_params = params.train.model_copy(update={"n_jobs": 1, "search": search_params})
    monkeypatch.setattr(cluster_fits, "MIN_SECONDS", 0)
    with connected(pipeline_folder) as cluster:
        if len(cluster.alive()) < 2:
            pytest.skip("one processor, so that a search on workers would not be faster")
        found = []
        for used in (None, cluster):
            learner = Fitter.from_params("xgboost", train_params, data, used).learner
            candidates = list(search(search_params, learner, 1, lambda _: None))
            scores = learner.cross_validate(*learner.final_params(candidates[0]), choose_round=True)
            found.append(([(each.sampled, each.fold_scores) for each in candidates], scores.valid_curves))
        assert found[0] == found[1]
        assert learner.problem.run_fits.sent


@contextmanager
def connect(address: str, folder: Path) -> Iterator[Cluster]:
    """Connect to a scheduler, as with DASK_SCHEDULER_ADDRESS."""
    with dask.config.set({"scheduler-address": address}), connected(folder) as cluster:
        yield cluster


def test_a_scheduler_that_does_not_answer_is_an_error_within_seconds(tmp_path: Path) -> None:
    started = time.monotonic()
    with (
        pytest.raises(PipelineError, match=r"the Dask scheduler tcp://127\.0\.0\.1:9 does not answer"),
        connect("tcp://127.0.0.1:9", tmp_path),
    ):
        pass
    assert time.monotonic() - started < 15


def test_workers_must_exist_and_fit_this_machine(
    rows: RowsOnDisk, expected: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rows.files[0].parent
    with scheduler(tmp_path) as address:
        with monkeypatch.context() as patch:
            patch.setattr(clusters, "WORKERS_SECONDS", 1)
            with (
                pytest.raises(PipelineError, match=f"scheduler {address} has no workers(?s:.*)dask worker {address}"),
                connect(address, folder),
            ):
                pass
        with worker(tmp_path, address, "one"):
            with connect(address, folder) as cluster:
                assert fit(cluster, rows) == expected  # one worker fits all shards, with the code that it was sent
            with connect(address, folder) as first, monkeypatch.context() as patch:
                (tmp_path / "other" / "pipeline").mkdir(parents=True)
                shutil.copytree(clusters.SOURCES, tmp_path / "other" / "pipeline", dirs_exist_ok=True)
                (tmp_path / "other" / "pipeline" / "added.py").write_text("")
                patch.setattr(clusters, "SOURCES", tmp_path / "other" / "pipeline")
                with connect(address, folder) as second:
                    assert fit(second, rows, 5) == fit(second, rows, 5)
                with pytest.raises(PipelineError, match=f"worker {WORKER} has been sent the code of another pipeline"):
                    fit(first, rows)
            own = clusters.versions()
            with monkeypatch.context() as patch:
                patch.setattr(clusters, "versions", lambda: {**own, "pandas": "2.0.0"})
                with (
                    pytest.raises(PipelineError, match=f"has pandas {own['pandas']}, but this machine has 2.0.0"),
                    connect(address, folder),
                ):
                    pass


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_workers_must_see_the_folder(rows: RowsOnDisk, tmp_path: Path) -> None:
    folder = rows.files[0].parent
    hidden = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{folder}" && exec "$@"', "sh"]
    with (
        scheduler(tmp_path) as address,
        worker(tmp_path, address, "hidden", hidden),
        pytest.raises(PipelineError, match=f"does not see the folder {folder}"),
        connect(address, folder),
    ):
        pass


def test_the_whole_pipeline_runs_on_workers_in_networks_of_their_own(
    tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_pipeline_folder(tmp_path / "repository", migrated_database)
    change_params(folder, train={"experiment_name": "small", **SMALL, "engine": "dask", "shards": 3})
    with ExitStack() as stack:
        networks = stack.enter_context(namespaces(2))
        address = stack.enter_context(scheduler(tmp_path, BRIDGE_ADDRESS))
        for name in networks:
            stack.enter_context(worker(tmp_path, address, name, in_namespace(name)))
        store = stack.enter_context(tracking_server(tmp_path))
        for name, value in (("DASK_SCHEDULER_ADDRESS", address), ("MLFLOW_TRACKING_URI", store)):
            monkeypatch.setenv(name, value)
        output = shell(folder, "dvc", "repro", environment={"MLFLOW_TRACKING_URI": store})
        assert f"connected to the Dask scheduler {address}: 2 workers" in output
        row = pd.read_csv(folder / "data.csv").drop(columns="price").dropna().head(1).to_dict("list")
        with service(folder, 1, MLFLOW_MODEL_NAME="small-model", MODEL_STAGE="Staging") as started:
            body = {name: values[0] for name, values in row.items()}
            response = requests.post(f"{started.address}/predict", json=body, timeout=30)
        assert response.status_code == 200, response.text


def test_a_worker_that_is_cut_off_is_replaced_or_reported(
    rows: RowsOnDisk, expected: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "HEARTBEAT_SECONDS", 10)
    monkeypatch.setattr(clusters, "WORKERS_SECONDS", 15)
    folder = rows.files[0].parent
    with ExitStack() as stack:
        networks = stack.enter_context(namespaces(2))
        address = stack.enter_context(scheduler(tmp_path, BRIDGE_ADDRESS))
        for name in networks:
            stack.enter_context(worker(tmp_path, address, name, in_namespace(name)))
        cluster = stack.enter_context(connect(address, folder))
        lines: list[str] = []

        def cut_at_the_first_checkpoint(name: str) -> None:
            while not list(folder.glob("*/*/checkpoint.ubj")):
                time.sleep(0.02)
            cut_off(name)

        with progress_handler(lines.append):
            threading.Thread(target=cut_at_the_first_checkpoint, args=networks[:1]).start()
            assert fit(cluster, rows) == expected  # on the worker that is left
            assert [line for line in lines if "was lost; continuing after round" in line]
            threading.Thread(target=cut_at_the_first_checkpoint, args=networks[1:]).start()
            with pytest.raises(PipelineError, match="has no workers"):
                fit(cluster, rows)
