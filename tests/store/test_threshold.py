"""A training with `evaluate.threshold` records the threshold, and its model's labels follow it."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from pipeline.features.transformer import FEATURES_FILE
from pipeline.learn.threshold import best_threshold
from pipeline.learn.threshold import f1_score as f1_of_counts
from pipeline.params.load import load_params
from pipeline.params.schema import Params
from pipeline.store.open import open_store
from pipeline.support.progress import progress_handler
from pipeline.train.evaluation import Evaluation
from pipeline.train.experiments import ExperimentRun
from pipeline.train.stage import train
from pipeline.train.tables import load_tables
from support.evaluation import prepare_params
from support.repositories import change_params

pytestmark = pytest.mark.usefixtures("_without_figures")


def train_with(folder: Path, **evaluate: object) -> tuple[Params, ExperimentRun]:
    params = prepare_params(folder, target="garden", **evaluate)
    return params, train(params, folder).winner


def test_the_best_f1_is_recorded_stored_and_used(pipeline_folder: Path, tmp_path: Path) -> None:
    params, winner = train_with(pipeline_folder, threshold="f1", thresholds=[0.5])
    fitted, client = winner.fitted, open_store()
    data = load_tables(pipeline_folder, params).data
    y_valid = data.y_search[np.concatenate([fold.valid for fold in data.folds])]
    threshold = fitted.threshold
    assert threshold == best_threshold(y_valid, np.concatenate(fitted.scores.outputs)[:, 1], f1_of_counts)
    assert threshold != 0.5

    metrics = client.get_run(winner.run_id).data.metrics
    y_pred = fitted.outputs[:, 1] >= threshold
    assert metrics["threshold"] == threshold
    assert metrics["f1"] == pytest.approx(f1_score(data.y_test, y_pred))
    assert metrics["accuracy"] == np.mean(data.y_test == y_pred)
    assert metrics["f1_at_0.5"] == pytest.approx(f1_score(data.y_test, fitted.outputs[:, 1] >= 0.5))
    (fold, *_) = fitted.fold_metrics
    in_fold = fitted.scores.outputs[0][:, 1] >= threshold
    assert fold["f1"] == pytest.approx(f1_score(data.y_search[data.folds[0].valid], in_fold))
    uri = client.get_run(winner.run_id).info.artifact_uri
    counts = confusion_matrix(data.y_test, y_pred)
    assert mlflow.artifacts.load_dict(f"{uri}/confusion_matrix.json")["counts"] == counts.tolist()
    confusion = pd.read_csv("mlartifacts/training/plots/confusion.csv")
    assert confusion["predicted"].tolist() == y_pred.tolist()

    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{winner.model_id}", dst_path=str(tmp_path)))
    assert json.loads((folder / FEATURES_FILE).read_text())["threshold"] == threshold
    rows = pd.read_parquet("data/processed/test.parquet").drop(columns="garden")
    predicted = mlflow.pyfunc.load_model(str(folder)).predict(rows)
    assert predicted["prediction"].tolist() == y_pred.tolist()
    profile = json.loads((folder / "reference_profile.json").read_text())
    assert profile["prediction"]["shares"].get("True", 0) == pytest.approx(y_pred.mean())


def test_a_threshold_changes_neither_models_nor_probabilities(pipeline_folder: Path) -> None:
    _, default = train_with(pipeline_folder)
    _, moved = train_with(pipeline_folder, threshold=0.2)
    assert moved.model_sha256 == default.model_sha256
    assert (default.fitted.threshold, moved.fitted.threshold) == (None, 0.2)
    np.testing.assert_array_equal(moved.fitted.outputs, default.fitted.outputs)
    same = ("log_loss", "roc_auc", "average_precision", "expected_calibration_error", "cv_log_loss_mean")
    assert [moved.fitted.metrics[name] for name in same] == [default.fitted.metrics[name] for name in same]
    assert moved.fitted.metrics["recall"] > default.fitted.metrics["recall"]
    assert (default.fitted.metrics["threshold"], moved.fitted.metrics["threshold"]) == (0.5, 0.2)


def test_costs_move_the_threshold(pipeline_folder: Path) -> None:
    params = prepare_params(pipeline_folder, target="garden")
    data = load_tables(pipeline_folder, params).data
    rng = np.random.default_rng(0)
    outputs = [np.column_stack([1 - p, p]) for p in (rng.random(len(fold.valid)) for fold in data.folds)]

    def chosen(**costs: float) -> float | None:
        change_params(pipeline_folder, evaluate={"threshold": "cost", "costs": costs})
        evaluation = Evaluation.from_params(load_params().evaluate, data, {}, pipeline_folder)
        return evaluation.choose_threshold(outputs)

    expensive, cheap = chosen(false_positive=50, false_negative=1), chosen(false_positive=1, false_negative=50)
    assert expensive is not None
    assert cheap is not None
    assert cheap < 0.2 < 0.8 < expensive


def test_weights_are_reported_at_the_start(pipeline_folder: Path) -> None:
    params = prepare_params(pipeline_folder, target="garden")
    weighted = params.train.model_copy(update={"params": {"xgboost": {"scale_pos_weight": "balanced"}}})
    lines: list[str] = []
    with progress_handler(lines.append):
        train(params.model_copy(update={"train": weighted}), pipeline_folder)
    assert lines[0].startswith("model_train: xgboost has scale_pos_weight, but log loss without weights compares")
    assert not [line for line in lines if " at threshold " in line]
    lines.clear()
    with progress_handler(lines.append):
        train(prepare_params(pipeline_folder, target="garden", threshold=0.25), pipeline_folder)
    assert not [line for line in lines if "weight" in line]
    assert len([line for line in lines if " at threshold 0.25" in line]) == 3
