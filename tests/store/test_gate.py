"""Verdicts of the promotion gate on real models in a real store."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from xgboost import XGBClassifier, XGBRegressor

from pipeline.errors import PipelineError
from pipeline.features.transformer import FeatureTransformer
from pipeline.learn.task import Task
from pipeline.params.schema import GateParams
from pipeline.register.finished_run import FinishedRun, find_finished_run
from pipeline.register.gate.gate import GateVerdict, judge
from pipeline.store.logged_model import LOGGED_SHA256, MODEL_SHA256, logged_sha256
from pipeline.store.open import open_experiment, open_store
from pipeline.support.files import sha256
from pipeline.support.paths import TEST_TABLE
from pipeline.train.raw_rows_view import RawRowsView, write_view
from support.folders import Trained, enter

pytestmark = pytest.mark.xdist_group("gate")  # share a module-scoped fixture

WIDTH = 110


@dataclass(frozen=True)
class Store:
    """A pipeline folder with a test table, and a store to which models are logged without the training stage."""

    folder: Path
    client: MlflowClient
    test: pd.DataFrame
    experiment_id: str

    def run(self, target: str = "y", rounds: int = 20, labels: list[Any] | None = None, **changes: Any) -> FinishedRun:
        """Fit a model on separate rows and record a finished run; `changes` overrides the defaults."""
        rows = changes.get("rows", make_rows(seed=1))
        inputs = rows[changes.get("inputs", ["a", "b", "place"])]
        transformer = FeatureTransformer.fit(inputs, {})
        task, features = Task(labels), transformer.transform(inputs)
        fitted = (XGBClassifier if labels else XGBRegressor)(n_estimators=rounds, max_depth=3, n_jobs=1)
        fitted.fit(features, task.encode(rows[target]))
        logged = self.client.create_logged_model(self.experiment_id, name="model")
        files = self.folder / "logged" / logged.model_id
        files.mkdir(parents=True)
        fitted.save_model(files / "model.ubj")
        write_view(
            RawRowsView(transformer, list(features.columns), task, inputs[:5], changes.get("threshold")),
            files / "model.ubj",
            files,
        )
        self.client.log_model_artifacts(logged.model_id, str(files))
        self.client.finalize_logged_model(logged.model_id, "READY")
        tags = {MODEL_SHA256: sha256(files / "model.ubj"), LOGGED_SHA256: logged_sha256(files)} | changes.get(
            "tags", {}
        )
        run_id = self.client.create_run(self.experiment_id, tags=tags).info.run_id
        self.client.log_param(run_id, "dataset.target", target)
        hashes = {"train": changes.get("train", "1" * 64), "test": sha256(self.folder / TEST_TABLE)}
        self.client.log_inputs(
            run_id,
            datasets=[
                DatasetInput(
                    Dataset(context, digest[:8], "local", "{}"),
                    [InputTag("mlflow.data.context", context), InputTag("sha256", digest)],
                )
                for context, digest in hashes.items()
            ],
        )
        self.client.log_outputs(run_id, models=[LoggedModelOutput(logged.model_id, step=0)])
        self.client.set_terminated(run_id)
        return find_finished_run(self.client, self.folder, run_id)

    def version(self, run: FinishedRun) -> ModelVersion:
        return version_of(self.client, run)

    def judge(self, candidate: FinishedRun, current: FinishedRun, **params: Any) -> GateVerdict:
        return judge(self.client, candidate, self.version(current), GateParams(**params), self.folder)


def version_of(client: MlflowClient, run: FinishedRun) -> ModelVersion:
    """Return version 1 of a registered model that only this run has."""
    name = f"gate-{run.model_id}"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
        client.create_model_version(name, source=f"models:/{run.model_id}", run_id=run.run_id, model_id=run.model_id)
    return client.get_model_version(name, "1")


def make_rows(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 400))
    place = pd.Series(rng.choice(["here", "there", "rare"], 400, p=[0.5, 0.46, 0.04]), dtype="str")
    y = 20_000 + 10_000 * a + 5000 * (b > 0) + 4000 * (place == "there") + rng.normal(0, 500, 400)
    label = pd.Series(np.where(a + rng.normal(0, 0.5, 400) > 0, "yes", "no"), dtype="str")
    return pd.DataFrame({"a": a, "b": b, "place": place, "y": y, "label": label})


@pytest.fixture(scope="module")
def store_module(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Store:
    """Return a store that the tests of this file share."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "mlruns").mkdir()
    shutil.copy(migrated_database, folder / "mlruns" / "mlflow.db")
    test = make_rows(seed=0)
    (folder / TEST_TABLE).parent.mkdir(parents=True)
    test.to_parquet(folder / TEST_TABLE)
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(folder, monkeypatch)
        client = open_store()
        return Store(folder, client, test, open_experiment(client, "gate"))


@pytest.fixture
def store(store_module: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Return the shared store; its folder is the current one."""
    enter(store_module.folder, monkeypatch)
    open_store()
    return store_module


@pytest.fixture(scope="module")
def two_models(store_module: Store) -> tuple[FinishedRun, FinishedRun]:
    """Return a poor model and a good one."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(store_module.folder, monkeypatch)
        open_store()
        return store_module.run(rounds=4), store_module.run(rounds=20)


def modification_times(store: Store) -> dict[Path, int]:
    """Return the modification time of every file except the database."""
    files = [path for path in store.folder.rglob("*") if path.is_file() and path.suffix != ".db"]
    return {path: path.stat().st_mtime_ns for path in files}


def test_better_model_passes_and_worse_model_is_refused(
    store: Store, two_models: tuple[FinishedRun, FinishedRun]
) -> None:
    poor, good = two_models
    before = modification_times(store)
    verdict = store.judge(good, poor, slices=["place"])
    print(verdict.table)
    assert verdict.promotes
    lines = [line.split() for line in verdict.table.split("\n")]
    assert next(line for line in lines if line[:1] == ["rmse"])[1] == "400"
    assert {"mae", "mape", "r2", "here", "there", "rare"} <= {line[0] for line in lines if line}
    assert "not judged: few rows" in verdict.table
    assert max(len(line) for line in verdict.table.split("\n")) <= WIDTH
    assert verdict.summary.startswith("rmse ")
    assert "better in 100 % of resamples)" in verdict.summary
    assert len(verdict.summary) <= 300

    refused = store.judge(poor, good, slices=["place"])
    assert not refused.promotes
    assert "better in only 0 % of 1,000 resamples of the test rows (95 % required)" in refused.reason
    assert refused.table.count("FAILED") == 3
    assert "over the limit" in refused.table
    assert modification_times(store) == before


def test_same_seed_gives_same_verdict(store: Store, two_models: tuple[FinishedRun, FinishedRun]) -> None:
    poor, good = two_models
    current = store.version(poor)
    verdicts = [
        judge(store.client, good, current, GateParams(slices=["place"], seed=seed), store.folder) for seed in (3, 3)
    ]
    assert verdicts[0] == verdicts[1]


def test_equal_predictions_are_not_an_improvement(store: Store, two_models: tuple[FinishedRun, FinishedRun]) -> None:
    _, good = two_models
    verdict = store.judge(store.run(rounds=20), good)
    assert not verdict.promotes
    assert "predicts exactly the same as version 1 for all 400 test rows" in verdict.reason
    assert "equal" in verdict.table


def test_models_are_compared_at_their_own_thresholds(store: Store) -> None:
    labels = ["no", "yes"]
    best = store.run("label", labels=labels)
    never = store.run("label", labels=labels, threshold=0.999)
    verdict = store.judge(best, never, metric="f1")
    assert verdict.promotes
    assert verdict.summary.startswith("f1 0.0000 -> 0.8")
    assert "predicts exactly the same" not in store.judge(never, best).reason
    # The positive class of the other model is "no": it is predicted from a probability of 0.001.
    always_no = store.run("label", labels=labels[::-1], threshold=0.001)
    assert store.judge(best, always_no, metric="f1").summary.startswith("f1 0.0000 -> 0.8")


def test_different_training_table_is_noted(store: Store, two_models: tuple[FinishedRun, FinishedRun]) -> None:
    poor, good = two_models
    note = "some of these test rows may be among its training rows"
    assert note not in store.judge(good, poor).table
    verdict = store.judge(good, store.run(rounds=3, train="2" * 64))
    assert verdict.promotes
    assert note in " ".join(verdict.table.split())


@pytest.mark.parametrize(
    ("own_sha256", "strategy", "noted"), [("a", "random", False), ("b", "random", True), ("a", "time", True)]
)
def test_appended_predictions_do_not_make_a_different_table(
    store: Store, own_sha256: str, strategy: str, noted: bool
) -> None:
    before = store.run(rounds=3, train="2" * 64, tags={"data_sha256": "a"})
    after = store.run(tags={"data_sha256": "c", "own_data_sha256": own_sha256})
    for candidate in (before, after):
        store.client.log_param(candidate.run_id, "dataset.split.strategy", strategy)
    verdict = store.judge(after, before)
    assert ("among its training rows" in " ".join(verdict.table.split())) is noted


def test_probabilities_are_compared_by_class(store: Store) -> None:
    poor, good = store.run("label", 2, ["no", "yes"]), store.run("label", 12, ["no", "yes"])
    reversed_ = store.run("label", 2, ["yes", "no"])
    verdict, again = store.judge(good, poor, slices=["place"]), store.judge(good, reversed_, slices=["place"])
    print(verdict.table)
    assert verdict.promotes
    assert verdict.summary.startswith("log_loss ")
    assert {"accuracy", "roc_auc", "f1"} <= {line.split()[0] for line in verdict.table.split("\n") if line}
    assert verdict.summary == again.summary
    assert not store.judge(poor, good, metric="roc_auc", n_resamples=100).promotes


def test_version_that_cannot_be_evaluated_blocks_promotion(
    store: Store, two_models: tuple[FinishedRun, FinishedRun]
) -> None:
    _, good = two_models
    other_columns = make_rows(seed=1).assign(c=1.0, label=lambda rows: rows["place"])
    numeric_place = make_rows(seed=1).assign(place=np.arange(400.0))
    classifier = store.run("label", 5, ["no", "yes"])
    for candidate, current, reason in [
        (
            good,
            store.run(rows=other_columns, inputs=["a", "c"]),
            "needs the column 'c', which is not in the test table",
        ),
        (good, store.run(rows=numeric_place), "cannot predict the test rows: could not convert string to float"),
        (good, store.run("a", inputs=["b"]), "predicts the column 'a', but the candidate predicts 'y'"),
        (
            classifier,
            store.run("label", 5, ["here", "rare", "there"], rows=other_columns),
            "its classes are here, rare, there, but those of the candidate are ",
        ),
        (classifier, good, "predicts the column 'y', but the candidate predicts 'label'"),
    ]:
        verdict = store.judge(candidate, current)
        print(verdict.table)
        assert not verdict.promotes
        assert verdict.reason.startswith("version 1 cannot be evaluated: ")
        assert reason in verdict.reason
        assert reason in " ".join(verdict.table.split())
        assert max(map(len, verdict.table.split("\n"))) <= WIDTH
        assert len(verdict.summary) <= 300


def test_version_with_missing_or_changed_files_is_not_loaded(store: Store) -> None:
    candidate, current = store.run(rounds=20), store.run(rounds=4)
    version = store.version(current)
    (artifacts,) = (store.folder / "mlruns").glob(f"gate/models/{current.model_id}/artifacts")
    content = (artifacts / "model.ubj").read_bytes()

    def reason() -> str:
        verdict = judge(store.client, candidate, version, GateParams(), store.folder)
        assert not verdict.promotes
        return verdict.reason

    (artifacts / "model.ubj").write_bytes(content + b" ")
    assert "SHA-256 differs" in reason()
    (artifacts / "model.ubj").unlink()
    assert "cannot be read" in reason()
    (artifacts / "model.ubj").write_bytes(content)
    store.client.delete_tag(current.run_id, MODEL_SHA256)
    assert "the run has no tag model_sha256" in reason()
    store.client.delete_run(current.run_id)
    assert "has been deleted" in reason()
    without_run = store.client.create_model_version(version.name, source=f"models:/{current.model_id}")
    verdict = judge(store.client, candidate, without_run, GateParams(), store.folder)
    assert "version 2 cannot be evaluated: it has no MLflow run" in verdict.reason


def test_different_test_table_is_refused(
    store: Store, two_models: tuple[FinishedRun, FinishedRun], tmp_path: Path
) -> None:
    poor, good = two_models
    current = store.version(poor)
    (tmp_path / TEST_TABLE).parent.mkdir(parents=True)
    store.test[:300].to_parquet(tmp_path / TEST_TABLE)
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(PipelineError, match=r"is not the table that run .*version 1(?s:.*)--force --reason"):
            judge(store.client, good, current, GateParams(), folder)


def test_gate_judges_trained_models(trained: Trained) -> None:
    client = open_store()
    first, _, third = (find_finished_run(client, trained.folder, each.run_id) for each in trained.experiments)
    current = version_of(client, first)
    verdict = judge(client, third, current, GateParams(slices=["place"]), trained.folder)
    test_rmse = [each.fitted.metrics["test_rmse"] for each in trained.experiments]
    assert f"rmse {test_rmse[0]:,.1f} -> {test_rmse[2]:,.1f} (" in verdict.summary
    assert judge(client, first, current, GateParams(), trained.folder).reason.endswith("for all 30 test rows")
