"""A model family added as one file: trained, used in a quick look, registered, exported, loaded and served."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.learn import families
from pipeline.service.models.engine import to_columns
from pipeline.service.models.explain import explain
from pipeline.service.models.loading import find_in_exports, find_in_registry, load_model
from pipeline.service.settings import load_settings
from pipeline.store.open import open_store
from support.folders import SMALL
from support.repositories import change_params

NAME = "hist_gradient_boosting"
FILE = '''
"""Histogram-based gradient boosting of scikit-learn."""

from functools import partial

import numpy as np

from pipeline.features.model_files import PICKLE
from pipeline.learn.estimators import Estimators, Recipe, all_classes
from pipeline.learn.families import Family
from pipeline.learn.space import Parameter, Range


def make(problem, sampled, rounds):
    """Return an unfitted estimator."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if problem.task.labels else HistGradientBoostingRegressor
    return kind(**{**problem.fixed, **sampled, "max_iter": rounds, "random_state": problem.seed})


def fit_staged(model, fold, scored, with_train, n_classes):
    """Fit, and yield the outputs for training and validation rows after each of the scored rounds."""
    X_train, y_train, X_valid, _ = fold
    model.fit(X_train, y_train)
    staged = [(model.staged_predict_proba if n_classes else model.staged_predict)(X) for X in (X_train, X_valid)]
    for number, outputs in enumerate(zip(*staged, strict=True), start=1):
        if number in scored:
            yield tuple(all_classes(output, model.classes_, n_classes) if n_classes else output for output in outputs)


def importance(model, X, y):
    """Return the increase of the loss when a feature is shuffled."""
    from sklearn.inspection import permutation_importance

    means = permutation_importance(model, X, y, n_repeats=1, random_state=0).importances_mean.clip(0)
    return {"permutation": dict(zip(X.columns, map(float, means)))}


def explain(model, X, background):
    """Compute SHAP values with shap's TreeSHAP."""
    import shap

    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    values = np.asarray(explainer.shap_values(X, check_additivity=False))
    return values, np.asarray(explainer.expected_value, np.float64).reshape(()), ""


FAMILY = Family(
    flavor="sklearn",
    autolog={"log_post_training_metrics": False},
    file=PICKLE,
    estimators=("HistGradientBoostingRegressor", "HistGradientBoostingClassifier"),
    rounds_label="boosting rounds",
    parameters={
        "max_iter": Parameter(1, 10_000, whole=True),
        "max_leaf_nodes": Parameter(2, 1000, whole=True),
        "min_samples_leaf": Parameter(1, 1000, whole=True),
        "learning_rate": Parameter(0, 1, above=True),
    },
    defaults={"max_iter": 10},
    space={"max_leaf_nodes": Range(low=4, high=16)},
    learner=partial(
        Estimators,
        Recipe(
            make=make,
            fit_staged=fit_staged,
            rounds_name="max_iter",
            compare_rounds=5,
            has_best_round=False,
            effective_params=lambda model: model.get_params(),
        ),
    ),
    importance=importance,
    explain=explain,
    explainable_rows=lambda model, row_rounds, n_fits: 20,
    quick_options={"epochs": "max_iter"},
)
'''


@pytest.fixture
def added_family(tmp_path: Path) -> Iterator[None]:
    """Add the file, in a separate folder, to the package of model families."""
    folder = tmp_path / "families"
    folder.mkdir()
    (folder / f"{NAME}.py").write_text(FILE)
    families.__path__.append(str(folder))
    yield
    families.__path__.remove(str(folder))
    sys.modules.pop(f"{families.__name__}.{NAME}", None)
    vars(families).pop(NAME, None)


@pytest.mark.usefixtures("added_family", "_without_figures")
def test_a_new_file_adds_a_model_family(
    pipeline_folder: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    fixed = {NAME: {"min_samples_leaf": 3}}
    change_params(pipeline_folder, train={"experiment_name": "small", **SMALL, "models": [NAME], "params": fixed})
    for script in ("prepare", "model_train"):
        assert call(script) == 0, capsys.readouterr().err
    assert "rounds, cv_rmse" in capsys.readouterr().out
    check_runs()

    assert call("model_register", "--stage", "Production") == 0
    assert "registered without ONNX: " in capsys.readouterr().out
    check_served(pipeline_folder)

    quick_look = ("data.csv", "--target", "price", "--model", NAME, "--output-path", "look", "--epochs")
    assert call("train", *quick_look, "7") == 0
    assert RawRowsModel(Path("look")).model.max_iter == 7
    assert call("train", *quick_look, "0") == 2


def check_runs() -> None:
    client = open_store()
    (experiment,) = client.search_experiments(filter_string="name = 'small'")
    runs = client.search_runs([experiment.experiment_id], f"tags.family = '{NAME}' and params.max_iter = '10'")
    assert {run.info.run_name for run in runs} == {"exp1_tuned", "exp2_important_features", "exp3_tuned_selected"}
    for run in runs:
        assert (run.info.status, run.data.params["min_samples_leaf"]) == ("FINISHED", "3")
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert "feature_importance.png" in files
        assert any(name.startswith("shap_summary_") for name in files)


def check_served(folder: Path) -> None:
    """Compare predictions of the service, from registry and export, with those of the exported estimator."""
    export, settings = folder / "models/production/latest", load_settings("small-model")
    assert not (export / "model.onnx").exists()
    rows = pd.read_parquet("data/processed/test.parquet")
    metadata = json.loads((export / "metadata.json").read_text())
    estimator = joblib.load(export / "model.pkl")
    assert (metadata["family"], type(estimator).__name__) == (NAME, "HistGradientBoostingRegressor")
    client = open_store()
    for source in (find_in_registry(client, settings, None), find_in_exports(folder, settings, None)):
        model, warnings = load_model(source, client)
        assert (model.family, warnings) == (NAME, [])
        columns = to_columns(rows, model.raw.transformer)
        predictions = model.predict(columns, len(rows)).predictions
        features = model.raw.transformer.transform(rows, only=metadata["feature_names"])
        np.testing.assert_array_equal(predictions, estimator.predict(features))
        (explanation,) = explain(model, {name: values[:1] for name, values in columns.items()}, 1)
        assert explanation["base_value"] + sum(explanation["shap_values"].values()) == pytest.approx(predictions[0])
