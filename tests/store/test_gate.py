"""The gate before Production: the statistics on simulated predictions, the judgement on real models in a real store."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from xgboost import XGBClassifier, XGBRegressor

from pipeline.errors import ParamsError, PipelineError
from pipeline.features.transformer import FeatureTransformer
from pipeline.learn.metrics import DIRECTIONS, classification_metrics, regression_scores
from pipeline.learn.task import Task
from pipeline.params.load import check_params
from pipeline.params.schema import GateParams
from pipeline.register.finished_run import FinishedRun, find_finished_run
from pipeline.register.gate.bootstrap import PairedOutputs, share_better
from pipeline.register.gate.comparison import OF_REGRESSION, Score, compare
from pipeline.register.gate.comparison_table import change, conditions, table
from pipeline.register.gate.gate import GateVerdict, judge
from pipeline.store.logged_model import LOGGED_SHA256, MODEL_SHA256, logged_sha256
from pipeline.store.open import open_experiment, open_store
from pipeline.support.files import sha256
from pipeline.support.paths import TEST_TABLE
from pipeline.train.raw_rows_view import RawRowsView, write_view
from support.folders import Trained, enter

pytestmark = pytest.mark.xdist_group("gate")  # they share what a fixture makes

WIDTH = 110
NUMBER, TWO, THREE = Task(), Task(["no", "yes"]), Task([1, 2, 3])


def simulated(task: Task, n_rows: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return true values, and predictions that are off by `noise`."""
    rng = np.random.default_rng(seed)
    if not task.labels:
        y_true = np.random.default_rng(0).normal(10, 3, n_rows)
        return y_true, y_true + rng.normal(0, noise, n_rows)
    y_true = np.random.default_rng(0).integers(0, task.n_classes, n_rows)
    margins = np.eye(task.n_classes)[y_true] + rng.normal(0, noise, (n_rows, task.n_classes))
    return y_true, np.exp(margins) / np.exp(margins).sum(axis=1, keepdims=True)


def promotes(task: Task, y_true: Any, current: Any, candidate: Any, rows: pd.DataFrame, **params: Any) -> bool:
    wanted = GateParams(**params)
    found = compare(PairedOutputs(task, y_true, current, candidate), rows, wanted)
    return all(rule.holds for rule in conditions(found, wanted))


# --- params


def test_the_gates_params_have_good_defaults() -> None:
    gate = check_params({"dataset": {"path": "x.csv", "target": "y"}, "register": {}}, "params.yaml").registry.gate
    assert gate == GateParams(metric=None, min_improvement=0, confidence=0.95, max_regression=0.05, slices=[], seed=0)


@pytest.mark.parametrize(
    ("gate", "named"),
    [
        ({"metrics": "mae"}, "register.gate.metrics: unknown key; known are metric, min_improvement, confidence"),
        ({"metric": "profit"}, "register.gate.*: `metric` is 'profit'; it is null or one of rmse, mae, mape, log_loss"),
        ({"min_improvement": -0.1}, "register.gate.min_improvement: .*-0.1"),
        ({"confidence": 1.0}, "register.gate.confidence: .*1.0"),
        ({"confidence": 0.4}, "register.gate.confidence: .*0.4"),
        ({"max_regression": "5%"}, "register.gate.max_regression: .*5%"),
        ({"slices": "place"}, "register.gate.slices: .*place"),
        ({"slices": ["a", "a"]}, "`slices` names a column twice"),
        ({"n_resamples": 10}, "register.gate.n_resamples: .*100.*10"),
    ],
)
def test_wrong_gate_params_are_named(gate: dict[str, Any], named: str) -> None:
    with pytest.raises(ParamsError, match=named):
        check_params({"dataset": {"path": "x.csv", "target": "y"}, "register": {"gate": gate}}, "params.yaml")


# --- the bootstrap


@pytest.mark.parametrize("task", [NUMBER, TWO, THREE], ids=lambda task: f"{task.n_classes}-labels")
def test_the_share_is_that_of_the_metric_on_the_same_resampled_rows(task: Task) -> None:
    """The short ways, losses' means and counts, must find what the metric itself says of every resample."""
    n_rows, n_resamples = 40, 30
    (y_true, current), (_, candidate) = simulated(task, n_rows, 1.0, seed=1), simulated(task, n_rows, 0.95, seed=2)
    if not task.labels:
        y_true[3] = 0.0  # which MAPE leaves out
    scores = classification_metrics if task.labels else regression_scores
    drawn = np.random.default_rng(7).integers(0, n_rows, (n_resamples, n_rows))
    pairs = [(scores(y_true[rows], current[rows]), scores(y_true[rows], candidate[rows])) for rows in drawn]
    metrics = [name for name in DIRECTIONS if (name in OF_REGRESSION) != bool(task.labels)]
    assert sorted(metrics) == sorted(pairs[0][0])
    for metric in metrics:
        is_better = [after[metric] > before[metric] for before, after in pairs]
        if not DIRECTIONS[metric]:
            is_better = [after[metric] < before[metric] for before, after in pairs]
        found = share_better(metric, PairedOutputs(task, y_true, current, candidate), n_resamples, seed=7)
        assert found == np.mean(is_better), metric
        assert 0 < found < 1


def test_resamples_without_a_positive_row_count_as_not_better() -> None:
    y_true = np.zeros(20, dtype=np.int64)
    y_true[0] = 1
    current = np.tile([0.5, 0.5], (20, 1))
    candidate = np.column_stack([1.0 - y_true, y_true])
    assert (
        0.55 < share_better("roc_auc", PairedOutputs(TWO, y_true, current, candidate), 400, 0) < 0.72
    )  # 1 - 1/e has one


def test_a_truly_better_model_is_promoted_and_an_equally_good_one_seldom(told: Callable[[str], None]) -> None:
    repetitions, n_rows, better, equal = 200, 120, 0, 0
    rows = pd.DataFrame(index=range(n_rows))
    for seed in range(repetitions):
        y_true, current = simulated(NUMBER, n_rows, 1.0, seed)
        _, good = simulated(NUMBER, n_rows, 0.7, seed + 1000)
        _, alike = simulated(NUMBER, n_rows, 1.0, seed + 2000)
        better += promotes(NUMBER, y_true, current, good, rows, n_resamples=200)
        equal += promotes(NUMBER, y_true, current, alike, rows, n_resamples=200)
    told(f"gate, promoted of {repetitions} pairs: {better} truly better, {equal} equally good")
    assert better > 0.95 * repetitions
    assert 0 < equal <= 19  # 10 expected at a confidence of 0.95; more than 19 in one of 400 such tests


# --- the rules


def test_each_rule_alone_refuses() -> None:
    n_rows = 600
    y_true, current = simulated(NUMBER, n_rows, 1.0, seed=1)
    place = np.array(["here", "there", None], dtype=object)[np.arange(n_rows) % 3]
    rows = pd.DataFrame({"place": pd.Series(place, dtype="str"), "few": np.where(np.arange(n_rows) < 29, 1.0, 2.0)})
    better = y_true + 0.8 * (current - y_true)  # every row: by 20 % of the RMSE
    assert promotes(NUMBER, y_true, current, better, rows, slices=["place", "few"])
    assert promotes(NUMBER, y_true, current, better, rows, min_improvement=0.19)
    assert not promotes(NUMBER, y_true, current, better, rows, min_improvement=0.21)
    assert not promotes(NUMBER, y_true, better, current, rows)
    lucky = current.copy()
    lucky[:3] = y_true[:3]
    lucky[3] += 0.2 * np.sign(current[3] - y_true[3])
    assert not promotes(NUMBER, y_true, current, lucky, rows, confidence=0.99)
    for value, missing in (("here", False), ("", True)):
        inside = rows["place"].isna() if missing else rows["place"] == value
        worse_there = np.where(inside, y_true + 1.1 * (current - y_true), y_true + 0.5 * (current - y_true))
        assert promotes(NUMBER, y_true, current, worse_there, rows)
        assert not promotes(NUMBER, y_true, current, worse_there, rows, slices=["place"])
        assert promotes(NUMBER, y_true, current, worse_there, rows, slices=["place"], max_regression=0.11)
    worse_in_few = np.where(rows["few"] == 1, y_true + 3 * (current - y_true), y_true)
    assert promotes(NUMBER, y_true, current, worse_in_few, rows, slices=["few"])


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "roc_auc", "f1"])
def test_classifications_are_judged_in_the_metrics_direction(metric: str) -> None:
    y_true, current = simulated(TWO, 300, 1.5, seed=1)
    _, good = simulated(TWO, 300, 0.5, seed=2)
    rows = pd.DataFrame({"half": np.arange(300) < 150})
    assert promotes(TWO, y_true, current, good, rows, metric=metric, slices=["half"], n_resamples=100)
    assert not promotes(TWO, y_true, good, current, rows, metric=metric, slices=["half"], n_resamples=100)


def test_improvements_are_shares_of_the_current_value_whatever_its_sign() -> None:
    assert Score("rmse", 9, 200.0, 150.0).improvement == 0.25
    assert Score("accuracy", 9, 0.8, 0.6).improvement == pytest.approx(-0.25)
    assert Score("r2", 9, -0.5, -0.25).improvement == 0.5
    assert Score("rmse", 9, 0.0, 0.0).improvement == 0
    assert change(Score("rmse", 9, 0.0, 2.0)) == "worse, from 0"
    assert change(Score("f1", 9, 0.0, 0.1)) == "better, from 0"
    assert change(Score("roc_auc", 9, None, 0.1)) == ""
    assert change(Score("rmse", 9, 1.0, 14.0)) == "1,300 % worse"


def test_slices_where_the_metric_is_undefined_are_shown_and_not_judged() -> None:
    y_true, current = simulated(TWO, 200, 1.5, seed=1)
    _, good = simulated(TWO, 200, 0.3, seed=2)
    rows = pd.DataFrame({"label": y_true, "wide 名\n" + 40 * "x": np.where(np.arange(200) < 100, "a " * 40, "")})
    params = GateParams(metric="roc_auc", slices=list(rows.columns), n_resamples=100)
    found = compare(PairedOutputs(TWO, y_true, current, good), rows, params)
    assert [one.score.improvement is None for one in found.slices] == [True, True, False, False]
    text = table("title", "7", found, params, [("passed", "word " * 60)])
    assert text.count("not judged: undefined") == 2
    assert "(empty)" in text
    assert max(map(len, text.split("\n"))) <= WIDTH


def test_what_params_name_must_fit_task_and_rows() -> None:
    y_true, current = simulated(NUMBER, 60, 1.0, seed=1)
    rows = pd.DataFrame({"x": np.arange(60.0), "place": "here"})
    outputs = PairedOutputs(NUMBER, y_true, current, current + 1)
    for named, params in {
        "register.gate.metric in params.yaml is 'f1'(?s:.*)name one of rmse, mae, mape, r2": {"metric": "f1"},
        "register.gate.slices .* 'ocean', which is no column(?s:.*)some of x, place": {"slices": ["ocean"]},
        "'x', which has 60 different values among the test rows, more than 50": {"slices": ["x"]},
    }.items():
        with pytest.raises(PipelineError, match=named):
            compare(outputs, rows, GateParams.model_validate(params))
    with pytest.raises(PipelineError, match="cannot be judged on the 1 test rows"):
        compare(PairedOutputs(NUMBER, y_true[:1], current[:1], current[:1] + 1), rows[:1], GateParams())
    with pytest.raises(PipelineError, match="cannot be judged on the 60 test rows"):
        compare(replace(outputs, y_true=0 * y_true), rows, GateParams(metric="mape"))
    proba = np.full((60, 2), 0.5)
    with pytest.raises(PipelineError, match=r"'rmse', and the model is of a classification(?s:.*)null for log_loss"):
        compare(PairedOutputs(TWO, np.zeros(60, dtype=int), proba, proba), rows, GateParams(metric="rmse"))


# --- real models


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
    assert "better in only 0 % of 1,000 resamples of the test rows (95 % asked)" in refused.reason
    assert refused.table.count("FAILED") == 3
    assert "too much" in refused.table
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
    assert "predicts exactly what version 1 predicts of all 400 test rows" in verdict.reason
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
            "needs the column 'c', which the test table does not have",
        ),
        (good, store.run(rows=with_text), "cannot predict the test rows: could not convert string to float"),
        (good, store.run("a", inputs=["b"]), "predicts the column 'a', the candidate 'y'"),
        (
            of_labels,
            store.run("label", 5, ["here", "rare", "there"], rows=with_more),
            "knows the labels here, rare, there",
        ),
        (of_labels, good, "predicts the column 'y', the candidate 'label'"),
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
    assert "version 2 cannot be evaluated: it belongs to no MLflow run" in verdict.reason


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
    assert judge(client, first, current, GateParams(), trained.folder).reason.endswith("of all 30 test rows")
