from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Run

from pipeline.store.open import open_store
from pipeline.train.custom import load_function
from pipeline.train.stage import train
from support.evaluation import MARKER_METRIC, prepare_params

pytestmark = pytest.mark.usefixtures("_without_figures")

PROFIT = """
import json

def profit(y_true, y_pred, y_proba, rows):
    assert y_true.index.equals(y_pred.index) and y_true.index.equals(rows.index)
    hits = (y_true == y_pred) * rows["rooms"]
    return {"profit": hits.sum(), "rows": len(rows)}
"""


def runs(parents: bool) -> dict[str, Run]:
    """Return the parent runs or the nested runs of the experiment, by name."""
    client = open_store()
    (experiment,) = client.search_experiments(filter_string="name = 'small'")
    all_runs = client.search_runs([experiment.experiment_id])
    return {run.info.run_name: run for run in all_runs if ("mlflow.parentRunId" in run.data.tags) != parents}


def test_custom_metric_is_logged_and_ranks_experiments(
    pipeline_folder: Path,
) -> None:
    Path("business").mkdir()
    Path("business/value.py").write_text(PROFIT)
    params = prepare_params(pipeline_folder, custom="business.value:profit", choose_by="profit")
    training = train(params, pipeline_folder)
    ranked = training.experiments
    test = pd.read_parquet("data/processed/test.parquet")
    for experiment in ranked:
        metrics = runs(parents=True)[experiment.run_name].data.metrics
        labels = np.array(sorted(test["place"].unique()))
        hits = labels[experiment.fitted.outputs.argmax(axis=1)] == test["place"]
        assert metrics["profit"] == test["rooms"][hits].sum()
        assert metrics["rows"] == len(test)
        folds = [runs(parents=False)[f"{experiment.run_name}_fold_{number}"] for number in (1, 2)]
        values = [fold.data.metrics["valid_profit"] for fold in folds]
        assert metrics["cv_profit_mean"] == pytest.approx(np.mean(values))
        assert metrics["cv_profit_std"] == pytest.approx(np.std(values))
        assert [fold.data.metrics["valid_rows"] for fold in folds] == [60, 60]
        assert {"cv_log_loss_mean", "cv_log_loss_std"} <= set(metrics)
    profits = [experiment.fitted.metrics["cv_profit_mean"] for experiment in ranked]
    assert profits == sorted(profits, reverse=True)
    winner = runs(parents=True)[ranked[0].run_name]
    assert winner.data.tags["stage"] == "production_candidate"
    assert (training.winner, training.chosen_by) == (ranked[0], "cv_profit_mean")


def test_prepare_and_register_do_not_import_the_custom_metric(pipeline_folder: Path, call: Callable[..., int]) -> None:
    Path("own.py").write_text(MARKER_METRIC.format(str(pipeline_folder / "imported")))
    prepare_params(pipeline_folder, custom="own:metric")
    assert call("prepare") == 0
    assert call("model_register", "--stage", "Staging") == 2  # no model is trained yet
    assert not Path("imported").exists()
    load_function("own:metric", pipeline_folder)
    assert Path("imported").exists()
