"""The gate before Production: its judgement on real models in a real store."""

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

pytestmark = pytest.mark.xdist_group("gate")  # they share what a fixture makes

WIDTH = 110


@dataclass(frozen=True)
class Store:
    """A pipeline folder with a test table, and a store to which models are logged without a training around them."""

    folder: Path
    client: MlflowClient
    test: pd.DataFrame
    experiment_id: str

    def run(self, target: str = "y", rounds: int = 20, labels: list[Any] | None = None, **other: Any) -> FinishedRun:
        """Fit a model on other rows, and record it as a run does; `other` says what is not as usual."""
        rows = other.get("rows", make_rows(seed=1))
        inputs = rows[other.get("inputs", ["a", "b", "place"])]
        transformer = FeatureTransformer.fit(inputs, {})
        task, features = Task(labels), transformer.transform(inputs)
        fitted = (XGBClassifier if labels else XGBRegressor)(n_estimators=rounds, max_depth=3, n_jobs=1)
        fitted.fit(features, task.encode(rows[target]))
        logged = self.client.create_logged_model(self.experiment_id, name="model")
        files = self.folder / "logged" / logged.model_id
        files.mkdir(parents=True)
        fitted.save_model(files / "model.ubj")
        write_view(RawRowsView(transformer, list(features.columns), task, inputs[:5]), files / "model.ubj", files)
        self.client.log_model_artifacts(logged.model_id, str(files))
        self.client.finalize_logged_model(logged.model_id, "READY")
        tags = {MODEL_SHA256: sha256(files / "model.ubj"), LOGGED_SHA256: logged_sha256(files)} | other.get("tags", {})
        run_id = self.client.create_run(self.experiment_id, tags=tags).info.run_id
        self.client.log_param(run_id, "dataset.target", target)
        hashes = {"train": other.get("train", "1" * 64), "test": sha256(self.folder / TEST_TABLE)}
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

    def version(self, of: FinishedRun) -> ModelVersion:
        return version_of(self.client, of)

    def judge(self, candidate: FinishedRun, current: FinishedRun, **params: Any) -> GateVerdict:
        return judge(self.client, candidate, self.version(current), GateParams(**params), self.folder)


def version_of(client: MlflowClient, of: FinishedRun) -> ModelVersion:
    """Return version 1 of a registered model of the candidate's own."""
    name = f"gate-{of.model_id}"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
        client.create_model_version(name, source=f"models:/{of.model_id}", run_id=of.run_id, model_id=of.model_id)
    return client.get_model_version(name, "1")


def make_rows(seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 400))
    place = pd.Series(rng.choice(["here", "there", "rare"], 400, p=[0.5, 0.46, 0.04]), dtype="str")
    y = 20_000 + 10_000 * a + 5000 * (b > 0) + 4000 * (place == "there") + rng.normal(0, 500, 400)
    label = pd.Series(np.where(a + rng.normal(0, 0.5, 400) > 0, "yes", "no"), dtype="str")
    return pd.DataFrame({"a": a, "b": b, "place": place, "y": y, "label": label})


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Store:
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
def store(once: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    enter(once.folder, monkeypatch)
    open_store()
    return once


@pytest.fixture(scope="module")
def rivals(once: Store) -> tuple[FinishedRun, FinishedRun]:
    """A poor model and a good one."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        enter(once.folder, monkeypatch)
        open_store()
        return once.run(rounds=4), once.run(rounds=20)


def written(store: Store) -> dict[Path, int]:
    """Return when each file but the database was written."""
    files = [path for path in store.folder.rglob("*") if path.is_file() and path.suffix != ".db"]
    return {path: path.stat().st_mtime_ns for path in files}


def test_the_better_model_passes_and_the_worse_is_refused_with_the_comparison(
    store: Store, rivals: tuple[FinishedRun, FinishedRun]
) -> None:
    poor, good = rivals
    before = written(store)
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
    assert written(store) == before


def test_the_same_seed_gives_the_same_verdict(store: Store, rivals: tuple[FinishedRun, FinishedRun]) -> None:
    poor, good = rivals
    current = store.version(poor)
    verdicts = [
        judge(store.client, good, current, GateParams(slices=["place"], seed=seed), store.folder) for seed in (3, 3)
    ]
    assert verdicts[0] == verdicts[1]


def test_equal_predictions_are_no_improvement(store: Store, rivals: tuple[FinishedRun, FinishedRun]) -> None:
    _, good = rivals
    verdict = store.judge(store.run(rounds=20), good)
    assert not verdict.promotes
    assert "predicts exactly the same as version 1 for all 400 test rows" in verdict.reason
    assert "equal" in verdict.table


def test_another_training_table_is_noted(store: Store, rivals: tuple[FinishedRun, FinishedRun]) -> None:
    poor, good = rivals
    note = "some of these test rows may be among its training rows"
    assert note not in store.judge(good, poor).table
    verdict = store.judge(good, store.run(rounds=3, train="2" * 64))
    assert verdict.promotes
    assert note in " ".join(verdict.table.split())


@pytest.mark.parametrize(
    ("own", "strategy", "noted"), [("a", "random", False), ("b", "random", True), ("a", "time", True)]
)
def test_the_same_rows_with_predictions_below_them_are_no_other_table(
    store: Store, own: str, strategy: str, noted: bool
) -> None:
    before = store.run(rounds=3, train="2" * 64, tags={"data_sha256": "a"})
    after = store.run(tags={"data_sha256": "c", "own_data_sha256": own})
    for candidate in (before, after):
        store.client.log_param(candidate.run_id, "dataset.split.strategy", strategy)
    verdict = store.judge(after, before)
    assert ("among its training rows" in " ".join(verdict.table.split())) is noted


def test_probabilities_are_compared_label_by_label(store: Store) -> None:
    poor, good = store.run("label", 2, ["no", "yes"]), store.run("label", 12, ["no", "yes"])
    reversed_ = store.run("label", 2, ["yes", "no"])
    verdict, again = store.judge(good, poor, slices=["place"]), store.judge(good, reversed_, slices=["place"])
    print(verdict.table)
    assert verdict.promotes
    assert verdict.summary.startswith("log_loss ")
    assert {"accuracy", "roc_auc", "f1"} <= {line.split()[0] for line in verdict.table.split("\n") if line}
    assert verdict.summary == again.summary
    assert not store.judge(poor, good, metric="roc_auc", n_resamples=100).promotes


def test_a_version_that_cannot_be_evaluated_lets_nothing_pass_and_says_why(
    store: Store, rivals: tuple[FinishedRun, FinishedRun]
) -> None:
    _, good = rivals
    with_more = make_rows(seed=1).assign(c=1.0, label=lambda rows: rows["place"])
    with_text = make_rows(seed=1).assign(place=np.arange(400.0))
    of_labels = store.run("label", 5, ["no", "yes"])
    for candidate, current, reason in [
        (
            good,
            store.run(rows=with_more, inputs=["a", "c"]),
            "needs the column 'c', which is not in the test table",
        ),
        (good, store.run(rows=with_text), "cannot predict the test rows: could not convert string to float"),
        (good, store.run("a", inputs=["b"]), "predicts the column 'a', but the candidate predicts 'y'"),
        (
            of_labels,
            store.run("label", 5, ["here", "rare", "there"], rows=with_more),
            "its classes are here, rare, there, but those of the candidate are ",
        ),
        (of_labels, good, "predicts the column 'y', but the candidate predicts 'label'"),
    ]:
        verdict = store.judge(candidate, current)
        print(verdict.table)
        assert not verdict.promotes
        assert verdict.reason.startswith("version 1 cannot be evaluated: ")
        assert reason in verdict.reason
        assert reason in " ".join(verdict.table.split())
        assert max(map(len, verdict.table.split("\n"))) <= WIDTH
        assert len(verdict.summary) <= 300


def test_a_version_whose_run_or_files_are_gone_or_changed_is_not_loaded(store: Store) -> None:
    candidate, current = store.run(rounds=20), store.run(rounds=4)
    version = store.version(current)
    (artifacts,) = (store.folder / "mlruns").glob(f"gate/models/{current.model_id}/artifacts")
    whole = (artifacts / "model.ubj").read_bytes()

    def reason() -> str:
        verdict = judge(store.client, candidate, version, GateParams(), store.folder)
        assert not verdict.promotes
        return verdict.reason

    (artifacts / "model.ubj").write_bytes(whole + b" ")
    assert "SHA-256 differs" in reason()
    (artifacts / "model.ubj").unlink()
    assert "cannot be read" in reason()
    (artifacts / "model.ubj").write_bytes(whole)
    store.client.delete_tag(current.run_id, MODEL_SHA256)
    assert "the run has no tag model_sha256" in reason()
    store.client.delete_run(current.run_id)
    assert "has been deleted" in reason()
    nobodys = store.client.create_model_version(version.name, source=f"models:/{current.model_id}")
    verdict = judge(store.client, candidate, nobodys, GateParams(), store.folder)
    assert "version 2 cannot be evaluated: it has no MLflow run" in verdict.reason


def test_other_test_rows_than_the_candidates_are_refused(
    store: Store, rivals: tuple[FinishedRun, FinishedRun], tmp_path: Path
) -> None:
    poor, good = rivals
    current = store.version(poor)
    (tmp_path / TEST_TABLE).parent.mkdir(parents=True)
    store.test[:300].to_parquet(tmp_path / TEST_TABLE)
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(PipelineError, match=r"is not the table that run .*version 1(?s:.*)--force --reason"):
            judge(store.client, good, current, GateParams(), folder)


def test_models_of_the_pipelines_own_training_are_judged(trained: Trained) -> None:
    client = open_store()
    first, _, third = (find_finished_run(client, trained.folder, one.run_id) for one in trained.experiments)
    current = version_of(client, first)
    verdict = judge(client, third, current, GateParams(slices=["place"]), trained.folder)
    of_test = [one.fitted.metrics["test_rmse"] for one in trained.experiments]
    assert f"rmse {of_test[0]:,.1f} -> {of_test[2]:,.1f} (" in verdict.summary
    assert judge(client, first, current, GateParams(), trained.folder).reason.endswith("for all 30 test rows")
