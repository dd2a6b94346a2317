"""What a session of the service records in its MLflow run."""

import os
import time
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from pipeline.service.records import Arm
from pipeline.service.tracking.statistics import Statistics
from pipeline.store.open import open_store
from support.tracking import LABELS, PARAMS, history, model, request, session, wait_until


def test_each_class_has_its_own_metric(pipeline_folder: Path) -> None:
    labels = [
        "-1",
        "1",
        2,
        "<1H OCEAN",
        "NEAR [BAY]",
        "near (bay)",
        "é/ü",
        "",
        "..",
        "x" * 300,
        "x" * 301,
        "a\nb",
        "%",
        "$",
    ]
    labels += [f"label {number}" for number in range(600)]  # more metrics than one call accepts
    statistics = Statistics(10, 60)
    statistics.add([request(model(labels), np.eye(len(labels)).tolist())])
    tracking = session({"production": statistics})
    tracking.start()
    tracking.stop(60)
    run = open_store().get_run(str(tracking.state()["run_id"]))
    assert run.info.status == "FINISHED"
    for prefix in ("prob_", "class_dist_"):
        shares = [value for name, value in run.data.metrics.items() if name.startswith(prefix)]
        assert shares == [pytest.approx(1 / len(labels))] * len(labels)
    assert {"prob_-1", "prob_1", "prob_2", "prob__1H_OCEAN", "prob_é_ü", "prob_NEAR_BAY_", "prob_near_bay__2"} <= set(
        run.data.metrics
    )


def test_session_is_one_run_with_a_nested_run_for_the_challenger(
    pipeline_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    statistics: dict[Arm, Statistics] = {"production": Statistics(10, 60), "challenger": Statistics(10, 60)}
    versions = [None, 3, 4, 3]
    open_store()  # as the service does to load a model before its session starts
    tracking = session(statistics, lambda: versions[0])
    assert tracking.state() == {
        "state": "off",
        "run_id": None,
        "error": None,
        "queued_points": 0,
        "dropped_points": 0,
    }
    tracking.start()
    n_predictions = 0
    while len(versions) > 1:
        versions.pop(0)
        iris = model(LABELS, int(versions[0] or 0))
        statistics["production"].add([request(iris, [[0.7, 0.2, 0.1]] * 5)])
        statistics["challenger"].add([request(iris, [[0.1, 0.8, 0.1]], arm="challenger")])
        n_predictions += 5
        run_id = tracking.state()["run_id"]
        time.sleep(0.15)  # three points
        open_store()  # as the watcher does at the same time
    wait_until(lambda: tracking.state()["state"] == "ok")
    statistics["production"].add([request(iris, [[0.7, 0.2, 0.1]] * 5)])
    tracking.stop(20)
    assert tracking.state()["queued_points"] == tracking.state()["dropped_points"] == 0

    client, run_id = open_store(), str(tracking.state()["run_id"])
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == PARAMS
    assert run.data.metrics["session_total_predictions"] == n_predictions + 5
    assert sum(value for _, value in history(run_id, "prediction_count")) == n_predictions + 5
    assert [version for version, _ in groupby(value for _, value in history(run_id, "model_version"))] == [3, 4, 3]
    expected = {"stage": "serving", "model_name": "iris", "arm": "production"}
    expected |= {"model_version": "3", "model_versions": "4, 3", "pid": str(os.getpid())}
    assert expected.items() <= run.data.tags.items()
    assert {"host", "process_started", "model_version_3_since", "model_version_4_since"} <= run.data.tags.keys()

    runs = client.search_runs([run.info.experiment_id])
    nested = [other for other in runs if other.data.tags.get("mlflow.parentRunId") == run_id]
    assert len(runs) == 2
    assert [other.data.tags["arm"] for other in nested] == ["challenger"]
    assert nested[0].info.status == "FINISHED"
    assert nested[0].data.metrics["session_total_predictions"] == 3
    assert nested[0].data.metrics["class_dist_versicolor"] == 1
    assert not caplog.records


def test_session_and_store_use_in_another_thread_do_not_interfere(
    pipeline_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    statistics = Statistics(10, 60)
    open_store()
    tracking = session({"production": statistics})
    tracking.start()
    for number in range(20):
        statistics.add([request(model(LABELS), [[0.7, 0.2, 0.1]])])
        client = open_store()
        client.create_registered_model(f"model-{number}")
        assert client.search_model_versions("name = 'iris'") == []
    tracking.stop(20)
    state = tracking.state()
    assert (state["state"], state["dropped_points"]) == ("ok", 0)
    assert sum(value for _, value in history(str(state["run_id"]), "prediction_count")) == 20
    assert not caplog.records
