"""A training on a Dask cluster: the same run on any workers, and through the loss of workers."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.params.load import load_params
from pipeline.prepare.stage import prepare
from pipeline.store.open import open_store
from pipeline.train.stage import Training, train
from support.folders import enter
from support.parts import force_written_parts
from support.repositories import change_params
from support.standard import TARGETS, TRAIN, make_folder

XGBOOST = {**TRAIN, "models": ["xgboost"], "shards": 3}
PART_ROWS = 35


def train_on(engine: str, folder: Path) -> Training:
    params = load_params()
    train_params = params.train.model_copy(update={"engine": engine})
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


@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_a_run_on_a_cluster_has_the_items_of_a_local_one(
    kind: str, tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "pipeline", migrated_database)
    enter(folder, monkeypatch)
    task = "regression" if kind == "regression" else "classification"
    change_params(folder, dataset={"path": "data.csv", "target": TARGETS[kind], "task": task}, train=XGBOOST)
    force_written_parts(monkeypatch, PART_ROWS)
    prepare(load_params().dataset, folder)
    local, dask, repeated = (train_on(engine, folder) for engine in ("local", "dask", "dask"))
    assert names(dask) == names(local)
    hashes = [{each.run_name: each.model_sha256 for each in training.experiments} for training in (dask, repeated)]
    assert hashes[0] == hashes[1]
