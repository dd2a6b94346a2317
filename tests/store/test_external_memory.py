"""A training with features on disk gives the same models and runs as one with features in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import PipelineError
from pipeline.params.load import load_params
from pipeline.prepare.stage import prepare
from pipeline.store.open import open_store
from pipeline.support.progress import progress_handler
from pipeline.train import features_folder
from pipeline.train.stage import Training, train
from support.folders import enter
from support.parts import force_written_parts
from support.repositories import change_params
from support.standard import TARGETS, TRAIN, make_folder

XGBOOST = {**TRAIN, "models": ["xgboost"]}
PART_ROWS = 35  # rows of a written file; the training table has 120


def train_with(folder: Path, external_memory: bool) -> Training:
    params = load_params()
    train_params = params.train.model_copy(update={"external_memory": external_memory})
    return train(params.model_copy(update={"train": train_params}), folder)


def items(training: Training) -> dict[tuple[str, str], Any]:
    """Return what the store has of each experiment, without IDs, times and the parameter itself."""
    client, found = open_store(), dict[tuple[str, str], Any]()
    for experiment in training.experiments:
        run = client.get_run(experiment.run_id)
        model = client.get_logged_model(experiment.model_id)
        files = {file.path for file in client.list_artifacts(experiment.run_id)}
        values = {
            "sha256": experiment.model_sha256,
            "params": _without_setting(run.data.params),
            "metrics": run.data.metrics,
            "tags": set(run.data.tags),
            "files": files,
            "model_params": _without_setting(model.params),
        }
        found |= {(experiment.run_name, name): value for name, value in values.items()}
    return found


def _without_setting(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "train.external_memory"}


@pytest.mark.usefixtures("_without_figures")
@pytest.mark.parametrize("kind", ["regression", "binary", "multiclass"])
def test_features_on_disk_give_the_same_models_and_runs(
    kind: str, tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "pipeline", migrated_database)
    enter(folder, monkeypatch)
    task = "regression" if kind == "regression" else "classification"
    dataset = {"path": "data.csv", "target": TARGETS[kind], "task": task}
    neighbors = {"k": 5, "by": ["size <m2>", "rooms"], "max_places": 100}
    table, rng = pd.read_csv("data.csv"), np.random.default_rng(1)
    street = [f"street {number}" for number in rng.integers(0, 60, len(table))]
    table.assign(street=street, note=[f"{name} no {number}" for number, name in enumerate(street)]).to_csv(
        "data.csv", index=False
    )
    features = {"neighbors": neighbors, "target_encoding": ["street"], "text": ["note"]}
    change_params(folder, dataset=dataset, train=XGBOOST, features=features)
    force_written_parts(monkeypatch, PART_ROWS)
    prepare(load_params().dataset, folder, features=load_params().features)
    in_memory, on_disk = (train_with(folder, external_memory) for external_memory in (False, True))
    assert len(list((folder / "data/processed/train.parquet").iterdir())) > 3
    assert items(on_disk) == items(in_memory)
    assert {path.name for path in (folder / "data/processed").iterdir()} == {"train.parquet", "test.parquet"}


@pytest.mark.usefixtures("_without_figures")
def test_a_custom_metric_gets_the_rows_of_the_search(
    tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "pipeline", migrated_database)
    enter(folder, monkeypatch)
    Path("own.py").write_text(
        "def metric(y_true, y_pred, y_proba, rows):\n"
        "    assert (rows['price'] == y_true).all()\n"
        "    return {'rooms': rows['rooms'].mean()}\n"
    )
    dataset = {"path": "data.csv", "target": "price", "task": "regression"}
    search = {**TRAIN["search"], "max_rows": 100}
    change_params(folder, dataset=dataset, train={**XGBOOST, "search": search}, evaluate={"custom": "own:metric"})
    force_written_parts(monkeypatch, PART_ROWS)
    prepare(load_params().dataset, folder)
    in_memory, on_disk = (train_with(folder, external_memory) for external_memory in (False, True))
    assert items(on_disk) == items(in_memory)
    rooms = pd.read_parquet(folder / "data/processed/test.parquet")["rooms"].mean()
    assert on_disk.winner.fitted.metrics["rooms"] == pytest.approx(rooms)


@pytest.mark.parametrize(
    ("train_params", "problem"),
    [({"models": ["nn", "xgboost"]}, "nn needs all features in memory"), ({"device": "cuda"}, "a GPU needs all")],
)
@pytest.mark.parametrize("forced", [{"external_memory": True}, {"engine": "dask"}])
def test_what_needs_features_in_memory_is_refused_or_kept_there(
    train_params: dict[str, Any],
    problem: str,
    forced: dict[str, Any],
    pipeline_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = load_params()
    prepare(params.dataset, pipeline_folder)

    def with_settings(**settings: object) -> Any:
        update = {**train_params, **settings}
        return params.model_copy(update={"train": params.train.model_copy(update=update)})

    with (
        pytest.raises(PipelineError, match=rf"params.yaml has train\.\w+: (true|dask), but {problem}"),
        features_folder.features_folder(with_settings(**forced), pipeline_folder),
    ):
        pass
    monkeypatch.setattr(features_folder, "available_memory", lambda: 1000)
    lines: list[str] = []
    with (
        progress_handler(lines.append),
        features_folder.features_folder(with_settings(external_memory="auto"), pipeline_folder) as folder,
    ):
        assert folder is None
    assert problem in lines[0]


def test_features_are_on_disk_when_memory_is_short(pipeline_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = load_params()
    prepare(params.dataset, pipeline_folder)
    with features_folder.features_folder(params, pipeline_folder) as folder:
        assert folder is None
    monkeypatch.setattr(features_folder, "available_memory", lambda: 20_000)
    lines: list[str] = []
    with (
        progress_handler(lines.append),
        features_folder.features_folder(params, pipeline_folder) as folder,
    ):
        assert folder is not None
        assert folder.is_absolute()
    assert "keeping features on disk, because features take about" in lines[0]
