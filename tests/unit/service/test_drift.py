"""Drift monitoring is silent on rows like the training data, raises alarms on others, and never delays requests."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from pipeline.datasets.simulated_housing import simulate
from pipeline.datasets.simulated_light_curves import simulate as simulate_curves
from pipeline.features.kinds import flux as flux_kind
from pipeline.features.light_curves import flux_features
from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.learn.families import BACKGROUND_ROWS
from pipeline.learn.search_params import SearchParams
from pipeline.onnx.model import to_onnx
from pipeline.params.schema import DatasetParams, FeaturesParams, MonitorParams, Params, TrainParams
from pipeline.prepare.stage import prepare
from pipeline.service.drift import webhook as webhook_module
from pipeline.service.drift.comparison import FEATURE_ROWS
from pipeline.service.drift.monitor import Monitor
from pipeline.service.drift.webhook import Webhook
from pipeline.service.models.engine import Engine, create_engine
from pipeline.service.models.served import ServedModel
from pipeline.service.records import Columns, Outputs, PredictionRecord
from pipeline.service.requests.schema import RowSchema
from pipeline.train.evaluation import Evaluation
from pipeline.train.fit import Fitter, choose, fit
from pipeline.train.raw_rows_view import write_view
from pipeline.train.reference_profile import (
    PROFILE_FILE,
    SAMPLE,
    bins_of,
    profile_of_numbers,
    profile_of_outputs,
    write_profile,
)
from pipeline.train.tables import load_tables
from support.effort import times
from support.repositories import REAL_TABLE

pytestmark = pytest.mark.xdist_group("drift")  # the tests share module-scoped fixtures

ROWS = 6000
ALPHA = MonitorParams().alpha


@dataclass(frozen=True)
class Case:
    """A fitted model and its test rows."""

    model: ServedModel
    test: pd.DataFrame

    def sample(self, n_rows: int, seed: int) -> pd.DataFrame:
        return self.test.sample(n_rows, random_state=seed)

    def predict(self, rows: pd.DataFrame) -> PredictionRecord:
        """Return the record of one request with these rows."""
        columns = columns_of(rows[list(self.model.kinds)])
        return record(self.model, columns, self.model.predict(columns, len(rows)))


def record(model: ServedModel, columns: Columns, outputs: Outputs, elapsed_ms: float = 1.0) -> PredictionRecord:
    start, count = record.count, len(outputs.predictions)  # type: ignore[attr-defined]
    record.count += count  # type: ignore[attr-defined]
    ids = [f"id-{number}" for number in range(start, start + count)]
    return PredictionRecord(time.time(), ids, "production", model.identity, columns, outputs, elapsed_ms)


record.count = 0  # type: ignore[attr-defined]


def columns_of(rows: pd.DataFrame) -> Columns:
    """Return rows as a parsed request; missing values are None."""
    return {
        str(name): [None if missing else value for value, missing in zip(values, values.isna(), strict=True)]
        for name, values in rows.astype(object).items()
    }


def train(
    folder: Path, table: pd.DataFrame, target: str, features: Mapping[str, Any] = MappingProxyType({}), **dataset: Any
) -> Case:
    """Fit a small model on the training rows of a table, and load it with its reference profile like the service."""
    folder.mkdir(parents=True)
    table.to_parquet(folder / "data.parquet")
    task = "regression" if pd.api.types.is_float_dtype(table[target]) else "classification"
    params = Params(
        dataset=DatasetParams(path=str(folder / "data.parquet"), target=target, task=task, **dataset),
        features=FeaturesParams.model_validate(dict(features)),
        train=TrainParams(cv_folds=2, search=SearchParams(max_rounds=60, space={"xgboost": {}})),
    )
    prepare(params.dataset, folder, features=params.features)
    tables = load_tables(folder, params)
    fitter = Fitter.from_params("xgboost", params.train, tables.data)
    evaluation = Evaluation.from_params(params.evaluate, tables.data, tables.rows, folder)
    fitted = fit(fitter, choose(fitter.learner, None), evaluation)
    logged = folder / "model"
    logged.mkdir()
    fitted.model.save_model(logged / "model.ubj")
    write_view(tables.view, logged / "model.ubj", logged)
    write_profile(logged, tables.reference | profile_of_outputs(tables.data.task, fitted.outputs))
    raw = RawRowsModel(logged)
    profile = json.loads((logged / PROFILE_FILE).read_text(encoding="utf-8"))
    schema = RowSchema.from_transformer(raw.transformer)
    model = ServedModel("houses", 1, "0" * 32, "export", "xgboost", raw, Engine(raw), schema, profile)
    return Case(model, pd.read_parquet(folder / "data/processed/test.parquet"))


def with_price_classes(table: pd.DataFrame) -> pd.DataFrame:
    """Return the housing table with a target of three classes and a boolean column."""
    price = table.pop("median_house_value")
    classes = np.array(["cheap", "fair", "dear"])[np.searchsorted(price.quantile([0.4, 0.8]), price)]
    return table.assign(large=table["households"] > 300, price=classes)


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return train(tmp_path_factory.mktemp("regression") / "folder", simulate(ROWS).table, "median_house_value")


@pytest.fixture(scope="module")
def classification(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return train(
        tmp_path_factory.mktemp("classification") / "folder", with_price_classes(simulate(ROWS).table), "price"
    )


@pytest.fixture(scope="module")
def california(tmp_path_factory: pytest.TempPathFactory) -> Case:
    if not REAL_TABLE.exists():
        pytest.skip(f"{REAL_TABLE} does not exist")
    return train(tmp_path_factory.mktemp("california") / "folder", pd.read_csv(REAL_TABLE), "median_house_value")


@pytest.fixture(params=["regression", "classification", "california"])
def case(request: pytest.FixtureRequest) -> Case:
    case: Case = request.getfixturevalue(request.param)
    return case


def check(case: Case, rows: pd.DataFrame, **params: Any) -> dict[str, Any]:
    """Return the drift report for a window of rows."""
    monitor = Monitor(MonitorParams(**params), None)
    monitor.add([case.predict(rows)])
    monitor.check(case.model)
    return monitor.report()


def alarm_columns(report: dict[str, Any]) -> set[str]:
    """Return the columns that have an alarm."""
    assert report["columns"], report["note"]
    return {column["column"] for column in report["columns"] if column["alarm"]}


@pytest.mark.parametrize("n_rows", [200, 1000])
def test_rows_like_the_training_data_raise_no_alarm(case: Case, n_rows: int) -> None:
    for seed in range(times(20, 6)):
        report = check(case, case.sample(n_rows, seed))
        assert not report["detected"], report["alarms"]
        assert report["window"] == {"rows": n_rows, "size": 1000, "min_rows": 200}
        assert len(report["columns"]) == len(case.model.kinds)


def test_false_alarm_rate_is_at_most_alpha_even_without_a_psi_limit(tmp_path: Path) -> None:
    windows, n_rows = 60, 300
    table = with_price_classes(simulate(windows * n_rows * 5 // 4).table)
    case = train(tmp_path / "folder", table, "price", split={"test_size": 0.8})
    rows = case.test.sample(frac=1, random_state=0)
    starts = range(0, windows * n_rows, n_rows)  # windows without common rows, so that they are independent
    alarms = sum(check(case, rows[start : start + n_rows], psi=0.0)["detected"] for start in starts)
    assert alarms <= 3 * ALPHA * windows, f"{alarms} of {windows} windows"


def _swap_categories(rows: pd.DataFrame) -> pd.DataFrame:
    first, second = rows["ocean_proximity"].value_counts().index[:2]
    return rows.assign(ocean_proximity=rows["ocean_proximity"].replace({first: second, second: "NEAR BAY"}))


def _remove_values(rows: pd.DataFrame, name: str, share: float = 0.3) -> pd.DataFrame:
    removed = np.random.default_rng(0).random(len(rows)) < share
    return rows.assign(**{name: rows[name].mask(removed)})


CHANGES: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame]]] = {
    "shifted": ("median_income", lambda rows: rows.assign(median_income=rows["median_income"] + 1.5)),
    "scaled": ("population", lambda rows: rows.assign(population=rows["population"] * 3)),
    "other unit": ("total_rooms", lambda rows: rows.assign(total_rooms=rows["total_rooms"] / 1000)),
    "constant": ("households", lambda rows: rows.assign(households=400.0)),
    "swapped categories": ("ocean_proximity", _swap_categories),
    "new category": ("ocean_proximity", lambda rows: rows.assign(ocean_proximity="LAKE")),
    "missing numbers": ("housing_median_age", lambda rows: _remove_values(rows, "housing_median_age")),
    "missing categories": ("ocean_proximity", lambda rows: _remove_values(rows, "ocean_proximity")),
    "all missing": ("population", lambda rows: rows.assign(population=np.nan)),
    "beyond 32 bits": ("population", lambda rows: rows.assign(population=1e300)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("n_rows", [200, 1000])
def test_changed_rows_raise_an_alarm_for_the_changed_column(case: Case, change: str, n_rows: int) -> None:
    column, changed = CHANGES[change]
    report = check(case, changed(case.sample(n_rows, 1)))
    assert report["detected"]
    assert alarm_columns(report) == {column}
    assert any(text.startswith(f"{column}: ") for text in report["alarms"])


def test_boolean_columns_and_their_missing_values_are_compared(classification: Case) -> None:
    rows = classification.sample(500, 2)
    report = check(classification, rows.assign(large=True))
    (large,) = (column for column in report["columns"] if column["column"] == "large")
    assert large["alarm"]
    assert large["kind"] == "boolean"
    assert large["test"] == "chi2_contingency"
    report = check(classification, _remove_values(rows.astype({"large": object}), "large", 0.1))
    (large,) = (column for column in report["columns"] if column["column"] == "large")
    assert large["missing_share"] == pytest.approx(0.1, abs=0.05)
    assert large["missing_psi"] > large["psi"]
    assert alarm_columns(report) == {"large"}


def test_changed_predictions_raise_an_alarm_for_the_prediction(regression: Case, classification: Case) -> None:
    rows = regression.sample(400, 3)
    expensive = check(regression, rows[rows["median_income"] > rows["median_income"].median()], psi=0.15, min_rows=50)
    assert expensive["prediction"]["alarm"]
    assert expensive["prediction"]["test"] == "ks_2samp"
    assert expensive["confidence"] is None
    assert "prediction: distribution differs from training" in "; ".join(expensive["alarms"])

    rows = classification.sample(400, 3)
    unchanged = check(classification, rows)
    assert not unchanged["prediction"]["alarm"]
    assert not unchanged["confidence"]["alarm"]
    one_class = check(classification, rows[rows["price"] == "cheap"], min_rows=50, max_class_share=None)
    assert one_class["prediction"]["alarm"]
    assert one_class["prediction"]["test"] == "chi2_contingency"
    assert one_class["confidence"]["test"] == "ks_2samp"


def rule(report: dict[str, Any], name: str) -> dict[str, Any]:
    (entry,) = (rule for rule in report["rules"] if rule["name"] == name)
    return {key: entry[key] for key in ("value", "limit", "alarm")}


def test_rules_check_confidence_class_share_and_latency(classification: Case) -> None:
    model = replace(classification.model, profile=None)
    columns = {name: [None] * 100 for name in model.kinds}

    def report_of(labels: list[str], confidence: float, elapsed_ms: float, **params: Any) -> dict[str, Any]:
        monitor = Monitor(MonitorParams(**params), None)
        rest = (1 - confidence) / 2
        for half in (labels[:100], labels[100:]):
            outputs = Outputs(half, [[confidence, rest, rest] for _ in half])
            monitor.add([record(model, columns, outputs, elapsed_ms)])
        monitor.check(model)
        return monitor.report()

    confident = report_of(["cheap", "fair"] * 100, 0.9, 12.0)
    assert not confident["detected"]
    assert "retrain it" in confident["note"]
    assert confident["columns"] == []
    assert confident["prediction"] is None
    assert confident["recent"]["classes"] == {"cheap": 0.5, "fair": 0.5}
    assert confident["recent"]["inference_ms"] == {"mean": 12.0, "p50": 12.0, "p99": 12.0}
    assert [rule["name"] for rule in confident["rules"]] == [
        "mean_confidence", "low_confidence_ratio", "mean_inference_ms", "largest_class_share",
    ]  # fmt: skip

    unconfident = report_of(["cheap"] * 170 + ["fair"] * 30, 0.5, 6000.0)
    assert rule(unconfident, "mean_confidence") == {"value": pytest.approx(50), "limit": 60, "alarm": True}
    assert rule(unconfident, "low_confidence_ratio") == {"value": 1.0, "limit": 0.3, "alarm": True}
    assert rule(unconfident, "mean_inference_ms") == {"value": 6000.0, "limit": 5000, "alarm": True}
    assert rule(unconfident, "largest_class_share") == {"value": 0.85, "limit": 0.8, "alarm": True}
    assert "mean confidence is 50, below 60" in unconfident["alarms"]
    assert len(unconfident["alarms"]) == 4

    off = dict.fromkeys(["min_confidence", "max_low_confidence", "max_inference_ms", "max_class_share", "psi"])
    disabled = report_of(["cheap"] * 200, 0.5, 6000.0, **off)
    assert not disabled["detected"]
    assert disabled["rules"] == []
    assert disabled["psi_limit"] is None


def test_newest_rows_are_checked_and_alarms_begin_and_end_once(
    regression: Case, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "pipeline.service.drift.monitor")
    monitor = Monitor(MonitorParams(window=300, min_rows=100), None)
    monitor.check(regression.model)
    assert monitor.report()["model_version"] is None
    assert not monitor.detected

    def add(rows: pd.DataFrame) -> dict[str, Any]:
        batch = regression.predict(rows)
        singles = [
            replace(
                batch,
                ids=[id_],
                columns={column: [values[index]] for column, values in batch.columns.items()},
                outputs=Outputs([batch.outputs.predictions[index]]),
            )
            for index, id_ in enumerate(batch.ids)
        ]
        monitor.add(singles)
        monitor.check(regression.model)
        return monitor.report()

    test = regression.test
    few = add(test[:90])
    assert few["window"]["rows"] == 90
    assert few["rules"] == few["columns"] == []
    monitor.check(regression.model)
    assert monitor.report() is few, "there are no new rows"
    assert not add(test[90:300])["detected"]
    assert add(test[300:600].assign(population=0.0))["window"]["rows"] == 300
    assert monitor.detected
    assert alarm_columns(monitor.report()) == {"population"}
    assert alarm_columns(add(test[600:800])) == {"population"}, "100 of 300 rows are still changed"
    assert alarm_columns(add(test[800:890])) == set()
    assert monitor.detected, "fewer than 100 rows came without it"
    assert not add(test[890:990])["detected"]
    messages = [record.message for record in caplog.records if "population: " in record.message]
    assert [text.split(": ")[0] for text in messages] == [
        "alarm for houses version 1",
        "alarm ended for houses version 1",
    ]


def test_only_the_last_rows_of_a_large_batch_count(regression: Case) -> None:
    old, new = regression.test[:500].assign(population=0.0), regression.test[500:1000]
    report = check(regression, pd.concat([old, new]), window=400)
    assert report["window"]["rows"] == 400
    assert not report["detected"]


def test_a_new_model_starts_with_an_empty_window(regression: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "pipeline.service.drift.monitor")
    monitor = Monitor(MonitorParams(), None)
    monitor.add([regression.predict(regression.test[:300].assign(population=0.0))])
    monitor.check(regression.model)
    assert monitor.detected
    newer = replace(regression, model=replace(regression.model, version=2))
    monitor.check(newer.model)  # before its first prediction
    assert not monitor.detected
    assert monitor.report()["model_version"] == 2
    assert monitor.report()["window"]["rows"] == 0
    monitor.add([newer.predict(regression.test[:50])])
    monitor.check(newer.model)
    assert monitor.report()["window"]["rows"] == 50
    assert "monitoring restarts with houses version 2; alarms until now: population" in caplog.records[-1].message


@pytest.mark.parametrize("seed", [3, 5])
def test_rounding_in_the_onnx_graph_is_not_drift(tmp_path: Path, seed: int) -> None:
    """With few distinct confidences, one more digit would move all rows with the same one to the next bin."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"plan": rng.choice(["a", "b", "c"], 6000, p=[0.5, 0.3, 0.2])})
    likely = {"a": rng.uniform(0.6, 0.95), "b": rng.uniform(0.6, 0.95), "c": rng.uniform(0.05, 0.4)}
    table["stays"] = np.where(rng.random(6000) < table["plan"].map(likely), "yes", "no")
    case = train(tmp_path / "folder", table, "stays", drop_duplicates=False)
    raw = case.model.raw
    graph = to_onnx(raw.transformer, raw.feature_names, raw.model, raw.labels).SerializeToString()
    onnx_engine = create_engine(raw, graph, case.test.drop(columns="stays").head(5))
    by_graph = Case(replace(case.model, engine=onnx_engine), case.test)
    rows = by_graph.sample(1000, 1)
    monitor = Monitor(MonitorParams(max_class_share=None), None)
    for start in range(0, 1000, 20):
        monitor.add([by_graph.predict(rows[start : start + 20])])
    monitor.check(by_graph.model)
    assert monitor.report()["confidence"]["psi"] < 0.01
    assert alarm_columns(monitor.report()) == set()


def test_light_curves_are_compared_by_their_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = simulate_curves(400, 64).table
    case = train(tmp_path / "folder", table, "LABEL", {"flux": True})
    assert set(case.model.profile or {}) == {"columns", "flux", "background", "prediction", "confidence"}
    assert len((case.model.profile or {})["flux"]) == 40
    rows = pd.concat([case.test] * 3)[:210]
    params = {"max_class_share": None, "min_rows": 50}
    assert alarm_columns(check(case, rows[:80], **params)) == set()
    flux = [name for name in rows if name.startswith("FLUX")]
    noisy = rows.assign(**{name: np.random.default_rng(0).normal(0, 1e6, len(rows)) for name in flux})
    computed: list[int] = []

    def counted_features(curves: np.ndarray) -> np.ndarray:
        computed.append(len(curves))
        return flux_features(curves)

    monkeypatch.setattr(flux_kind, "flux_features", counted_features)
    monitor = Monitor(MonitorParams(**params), None)
    monitor.add([case.predict(noisy)])
    computed.clear()
    monitor.check(case.model)
    noisy_columns = alarm_columns(monitor.report())
    assert "flux_log_scatter" in noisy_columns
    assert {column["kind"] for column in monitor.report()["columns"]} == {"light_curve"}
    monitor.add([case.predict(noisy[:1])])
    monitor.check(case.model)
    assert alarm_columns(monitor.report()) == noisy_columns
    # All at the first check; the new curve for its prediction; and the new curve at the second check.
    assert computed == [FEATURE_ROWS, 1, 1]


def test_dates_are_compared_by_what_is_missing_and_lists_by_their_words(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    days = pd.Series(pd.date_range("2023-01-01", periods=ROWS, freq="3h"))
    words = ["|".join(rng.choice(["Comedy", "Drama", "War"], n, False)) for n in rng.integers(1, 3, ROWS)]
    table = pd.DataFrame({"day": days.dt.strftime("%d.%m.%Y"), "sold": days.astype("int64") / 1e6, "genres": words})
    table["price"] = rng.normal(size=ROWS) + table["genres"].str.contains("War")
    features = {"dates": {"day": "%d.%m.%Y", "sold": "unix"}, "lists": {"genres": "|"}}
    case = train(tmp_path / "folder", table, "price", features)
    assert (case.model.profile or {})["columns"]["day"]["shares"] == {}
    rows = case.sample(300, 1)
    report = check(case, rows)
    assert alarm_columns(report) == set()
    assert {column["column"]: column["kind"] for column in report["columns"]} == {
        "day": "date",
        "sold": "date",
        **dict.fromkeys(("genres_Drama", "genres_Comedy", "genres_War", "genres_number_of_words"), "list"),
    }
    later = rows.assign(day="31.12.2031", sold=rows["sold"] + 1e8)
    assert alarm_columns(check(case, later)) == set()
    assert alarm_columns(check(case, rows.assign(day="2023-01-01", sold=rows["sold"] * 1000))) == {"day", "sold"}
    assert "genres_War" in alarm_columns(check(case, rows.assign(genres="War")))


def test_a_profile_describes_the_training_rows(classification: Case, tmp_path: Path) -> None:
    profile = classification.model.profile or {}
    assert list(profile["columns"]) == list(classification.model.kinds)
    bedrooms, proximity = profile["columns"]["total_bedrooms"], profile["columns"]["ocean_proximity"]
    assert bedrooms["n"] == proximity["n"] == ROWS * 0.8
    assert 0 < bedrooms["missing_share"] < 0.03
    assert len(bedrooms["sample"]) == SAMPLE
    assert bedrooms["sample"] == sorted(bedrooms["sample"])
    assert sum(bedrooms["shares"]) == pytest.approx(1)
    assert max(bedrooms["shares"]) < 0.12
    assert list(proximity["shares"].values()) == sorted(proximity["shares"].values(), reverse=True)
    assert sum(proximity["shares"].values()) == pytest.approx(1)
    assert set(profile["columns"]["large"]["shares"]) == {"true", "false"}
    assert set(profile["prediction"]["shares"]) == {"cheap", "fair", "dear"}
    assert 33 < profile["confidence"]["sample"][0] < profile["confidence"]["sample"][-1] <= 100
    background = pd.DataFrame(profile["background"])
    assert background.shape == (BACKGROUND_ROWS, len(classification.model.kinds))
    assert len(classification.model.predict(columns_of(background), BACKGROUND_ROWS).predictions) == BACKGROUND_ROWS

    again = train(tmp_path / "again", with_price_classes(simulate(ROWS).table), "price")
    assert json.dumps(again.model.profile) == json.dumps(profile)
    assert (tmp_path / "again" / "model" / PROFILE_FILE).stat().st_size < 60_000


@pytest.mark.parametrize(
    "values",
    [
        np.full(100, 7.0),
        np.r_[np.zeros(950), np.arange(50.0)],
        np.arange(3.0),
        np.full(5, np.nan),
        np.random.default_rng(0).normal(size=2000),
    ],
)
def test_profile_bins_contain_all_numbers(values: np.ndarray) -> None:
    profile = profile_of_numbers(values)
    present = values[~np.isnan(values)]
    assert sum(profile["shares"]) == pytest.approx(1 if len(present) else 0)
    assert len(profile["shares"]) == len(profile["edges"]) + 1
    assert profile["edges"] == sorted(set(profile["edges"]))
    assert json.loads(json.dumps(profile, allow_nan=False)) == profile
    if len(present) and (present == present[0]).all():  # a constant has a bin of its own
        bins = bins_of(np.array([6.9, 7.0, 7.1]), np.array(profile["edges"]))
        assert bins.tolist() == [0, 1, 2]


class Hook(BaseHTTPRequestHandler):
    """Accepts JSON after refusing the first `refusals` requests with status `refusal`."""

    refusals: ClassVar[int]
    refusal: ClassVar[int]
    received: ClassVar[list[dict[str, Any]]]
    attempts: ClassVar[int]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).attempts += 1
        is_refused = self.attempts <= self.refusals
        if not is_refused:
            assert self.headers["Content-Type"] == "application/json"
            self.received.append(body)
        self.send_response(self.refusal if is_refused else 204)
        assert self.headers["Authorization"] is None
        self.send_header("Location", "/elsewhere?SECRET")
        self.send_header("Retry-After", "abc")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hook(refusals: int = 0, refusal: int = 500) -> Iterator[tuple[str, type[Hook]]]:
    handler = type("TestHook", (Hook,), {"refusals": refusals, "refusal": refusal, "received": [], "attempts": 0})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/services/SECRET", handler
        server.shutdown()
        thread.join()


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)


@pytest.fixture
def _short_retry_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_module, "WAIT", 0.05)


def test_a_webhook_is_notified_when_alarms_begin_and_end(regression: Case) -> None:
    with hook() as (url, handler):
        monitor = Monitor(MonitorParams(window=200, min_rows=100), Webhook(url))
        monitor.add([regression.predict(regression.test[:200].assign(population=0.0))])
        monitor.check(regression.model)
        wait_until(lambda: handler.received)
        monitor.check(regression.model)
        monitor.add([regression.predict(regression.test[:200])])
        monitor.check(regression.model)
        wait_until(lambda: len(handler.received) == 2)
        began, ended = handler.received
    assert began["model_name"] == "houses"
    assert began["model_version"] == 1
    assert began["detected"]
    assert began["alarms"] == began["began"]
    assert any(text.startswith("population: ") for text in began["began"])
    assert began["text"].startswith("houses version 1: ")
    assert began["ended"] == []
    assert not ended["detected"]
    assert ended["ended"] == began["began"]
    assert ended["began"] == []
    assert set(ended) == {"text", "model_name", "model_version", "detected", "began", "ended", "alarms", "time"}


@pytest.mark.usefixtures("_short_retry_wait")
def test_a_webhook_is_tried_three_times_without_logging_its_secret(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login me password SECRET")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    caplog.set_level(logging.INFO, "pipeline.service.drift.webhook")
    with hook(refusals=2) as (url, handler):
        Webhook(url).send({"text": "é"})
        wait_until(lambda: caplog.records)
        assert handler.received == [{"text": "é"}]
        assert handler.attempts == 3
        assert caplog.records[-1].message == "webhook: 127.0.0.1 responded with status 204"
    with hook(refusals=9) as (url, handler):
        Webhook(url).send({})
        wait_until(lambda: len(caplog.records) == 2)
        assert handler.attempts == 3
        assert handler.received == []
    Webhook(url).send({})  # the server has been stopped
    wait_until(lambda: len(caplog.records) == 3)
    with hook(refusals=9, refusal=302) as (url, handler):
        Webhook(url).send({})
        wait_until(lambda: len(caplog.records) == 4)
        assert handler.attempts == 3
    Webhook("http://user:SECRET@host:SECRET/").send({})
    wait_until(lambda: len(caplog.records) == 5)
    assert [record.levelname for record in caplog.records] == ["INFO", *["WARNING"] * 4]
    assert "127.0.0.1 failed after 3 attempts: it responded with status 500" in caplog.records[1].message
    assert "Connection refused" in caplog.records[2].message
    assert "127.0.0.1 failed after 3 attempts: it responded with status 302" in caplog.records[3].message
    assert "SECRET" not in caplog.text


def test_requests_are_added_during_a_check(regression: Case) -> None:
    monitor, batch = Monitor(MonitorParams(), None), regression.predict(regression.test[:20])
    stopped = threading.Event()
    longest = [0.0]

    def add() -> None:
        while not stopped.is_set():
            started = time.perf_counter()
            monitor.add([batch])
            longest[0] = max(longest[0], time.perf_counter() - started)
            time.sleep(0.0005)

    thread = threading.Thread(target=add)
    thread.start()
    for _ in range(10):
        time.sleep(0.05)
        monitor.check(regression.model)
    stopped.set()
    thread.join()
    assert monitor.report()["window"]["rows"] == 1000
    assert longest[0] < 0.25, "adding waited for a complete check"
