"""The content of an experiment run, read back from the store, for each task and each model family."""

from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, log_loss, roc_auc_score

from pipeline import __version__
from pipeline.learn.families import names
from pipeline.store.open import open_store
from pipeline.support.files import sha256
from support.folders import enter
from support.standard import DRAWN, FAMILIES, TARGETS, Standard, make_folder, run_all

pytestmark = pytest.mark.xdist_group("standard")

MODELS = {
    "lightgbm": ("LGBMRegressor", "LGBMClassifier"),
    "nn": ("MLPRegressor", "MLPClassifier"),
    "random_forest": ("RandomForestRegressor", "RandomForestClassifier"),
    "xgboost": ("XGBRegressor", "XGBClassifier"),
}
CLASS_METRICS = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "average_precision",
    "log_loss",
    "expected_calibration_error",
)
AT_THRESHOLDS = tuple(f"{name}_at_{at}" for name in ("precision", "recall", "f1") for at in (0.3, 0.5, 0.7))
SCORES = {
    "regression": ("rmse", "mae", "r2", "mape"),
    "binary": CLASS_METRICS + AT_THRESHOLDS,
    "multiclass": CLASS_METRICS,
}


@pytest.fixture
def all_runs(
    standard: tuple[Path, dict[tuple[str, str], Standard]], monkeypatch: pytest.MonkeyPatch
) -> dict[tuple[str, str], Standard]:
    """Return the experiment of every task and family; their folder is the current one."""
    enter(standard[0], monkeypatch)
    return standard[1]


@pytest.fixture(params=[(kind, name) for kind in TARGETS for name in FAMILIES], ids="-".join)
def case(request: pytest.FixtureRequest, all_runs: dict[tuple[str, str], Standard]) -> Standard:
    """Return the experiment of one task and one family."""
    return all_runs[request.param]


def nested(client: MlflowClient, run: Run, tag: str) -> list[Run]:
    """Return the nested runs that have a tag, in the order of its values."""
    query = f"tags.`mlflow.parentRunId` = '{run.info.run_id}' and tags.{tag} != ''"
    return sorted(
        client.search_runs([run.info.experiment_id], query), key=lambda nested_run: int(nested_run.data.tags[tag])
    )


def test_every_model_family_is_covered() -> None:
    assert tuple(names()) == tuple(MODELS)
    assert set(FAMILIES) <= set(MODELS)


def test_run_is_finished_and_records_its_provenance(case: Standard) -> None:
    run, tags = case.run, case.run.data.tags
    assert (run.info.status, run.info.run_name) == ("FINISHED", f"{case.kind}_{case.family}")
    assert (tags["version"], tags["stage"], tags["family"]) == (__version__, "experiment", case.family)
    assert (tags["git_commit"], tags["git_dirty"]) == (case.commit, "false")
    assert tags["reproducible"] == "true"
    assert tags["data_sha256"] == sha256(Path("data.csv")) == case.json("data_profile.json")["sha256"]["raw"]
    inputs = {entry.dataset.name: entry for entry in run.inputs.dataset_inputs}
    assert set(inputs) == {"data.csv (train)", "data.csv (test)"}
    for context in ("train", "test"):
        dataset_tags = {tag.key: tag.value for tag in inputs[f"data.csv ({context})"].tags}
        assert dataset_tags == {"mlflow.data.context": context, "sha256": case.tables.profile["sha256"][context]}
    environment = case.json("environment.json")
    assert {"python", "os", "machine"} < set(environment)
    assert {"xgboost", "scikit-learn", "mlflow"} <= set(environment["packages"])


def test_run_logs_every_estimator_parameter(case: Standard) -> None:
    params, fitted = case.run.data.params, case.experiment.fitted
    model = fitted.model
    if case.family == "nn":
        model = (model if case.kind != "regression" else model.regressor_).named_steps["mlp"]
        assert params["n_estimators"] == "1"
    estimator_params = model.get_params()
    # Autologging omits parameters that XGBoost's native interface lacks; params.yaml cannot set them.
    logged = {name for name, value in estimator_params.items() if value is not None} - {"missing", "enable_categorical"}
    if case.family == "xgboost":
        assert {"max_depth", "learning_rate", "reg_lambda", "tree_method", "objective", "subsample"} <= logged
    for name in logged:
        assert params[name] == str(estimator_params[name]), name
    rounds = {"nn": "max_iter"}.get(case.family, "n_estimators")
    assert params[rounds] == str(fitted.scores.n_rounds)
    assert (params["random_state"], params["train.seed"], params["dataset.split.seed"]) == ("42", "42", "42")
    assert (params["search_seed"], params["search_rows"]) == ("5", "120")
    assert int(params["n_features"]) == len(fitted.features)
    assert 1 <= int(params["shap_rows"]) <= 10
    for name, value in fitted.sampled.items():
        assert params[name] == str(value)


def test_one_query_finds_runs_of_every_family(all_runs: dict[tuple[str, str], Standard], case: Standard) -> None:
    client = open_store()
    experiment = client.get_experiment_by_name("standard")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], "params.n_estimators != ''")
    assert {run.info.run_id for run in found} == {other.experiment.run_id for other in all_runs.values()}
    (alone,) = client.search_runs(
        [experiment.experiment_id],
        f"tags.family = '{case.family}' and params.`dataset.target` = '{TARGETS[case.kind]}'",
    )
    assert alone.info.run_id == case.experiment.run_id


def test_run_has_exactly_these_metrics(case: Standard) -> None:
    metrics, fitted = case.run.data.metrics, case.experiment.fitted
    expected = {f"cv_{case.loss}_mean", f"cv_{case.loss}_std", f"fold_1_{case.loss}", f"fold_2_{case.loss}"}
    if case.kind == "regression":
        expected |= {"test_rmse", "test_mae", "test_r2", "test_mape", "baseline_rmse"}
    else:
        expected |= {*SCORES[case.kind], "baseline_accuracy", "baseline_log_loss"}
        expected |= {"threshold"} if case.kind == "binary" else set()
    expected |= {"train_loss"} if case.family == "nn" else set()
    # scikit-learn autologging also scores the training rows, under names that start with training_.
    assert {name for name in metrics if case.family == "xgboost" or not name.startswith("training_")} == expected
    assert metrics.items() >= fitted.metrics.items()

    y, outputs = case.tables.data.y_test, fitted.outputs
    if case.kind == "regression":
        assert metrics["test_rmse"] == pytest.approx(np.sqrt(np.mean((y - outputs) ** 2)))
        assert metrics["baseline_rmse"] == pytest.approx(np.sqrt(np.mean((y - case.tables.data.y_train.mean()) ** 2)))
        return
    predicted, probabilities = outputs.argmax(axis=1), outputs / outputs.sum(axis=1, keepdims=True)
    assert metrics["accuracy"] == accuracy_score(y, predicted)
    assert metrics["log_loss"] == pytest.approx(log_loss(y, probabilities), rel=1e-5)
    assert metrics["baseline_accuracy"] == np.mean(y == np.bincount(case.tables.data.y_train).argmax())
    average = "binary" if case.kind == "binary" else "macro"
    assert metrics["f1"] == pytest.approx(f1_score(y, predicted, average=average))
    if case.kind == "binary":
        assert metrics["roc_auc"] == pytest.approx(roc_auc_score(y, outputs[:, 1]))
        assert metrics["average_precision"] == pytest.approx(average_precision_score(y, outputs[:, 1]))
        assert metrics["f1_at_0.3"] == pytest.approx(f1_score(y, outputs[:, 1] >= 0.3))
    else:
        assert metrics["roc_auc"] == pytest.approx(roc_auc_score(y, probabilities, multi_class="ovr"), rel=1e-4)


def test_each_fold_is_a_nested_run_with_all_metrics(case: Standard) -> None:
    client, run = open_store(), case.run
    folds = nested(client, run, "fold")
    assert [fold.data.tags["fold"] for fold in folds] == ["1", "2"]
    for number, fold in enumerate(folds, start=1):
        assert fold.info.status == "FINISHED"
        assert fold.data.tags["family"] == case.family
        assert set(fold.data.metrics) == {f"valid_{name}" for name in SCORES[case.kind]}
        score = run.data.metrics[f"fold_{number}_{case.loss}"]
        assert fold.data.metrics[f"valid_{case.loss}"] == pytest.approx(score, rel=1e-4)
        assert fold.data.params["rounds"] == str(case.experiment.fitted.scores.n_rounds)
    mean = np.mean([fold.data.metrics[f"valid_{case.loss}"] for fold in folds])
    assert run.data.metrics[f"cv_{case.loss}_mean"] == pytest.approx(mean)
    assert [len(nested(client, run, "candidate")), len(folds)] == [2, 2]


def test_run_has_figures_and_their_data(case: Standard, tmp_path: Path) -> None:
    client, run = open_store(), case.run
    name = run.info.run_name
    figures = {
        "feature_importance.png",
        "learning_curve.png",
        f"shap_summary_{name}.png",
        f"shap_importance_bar_{name}.png",
    }
    others = {"feature_importance.json", "model_info.json", "environment.json", "requirements.txt", "params.yaml"}
    others |= {"data_profile.json", "table_report.html"}
    if case.kind == "regression":
        figures |= {"residuals.png", "predicted_vs_actual.png"}
    else:
        figures |= {"confusion_matrix.png", "roc_curve.png", "pr_curve.png", "calibration.png"}
        others |= {"confusion_matrix.json", "classification_report.txt"}
    if case.family == "xgboost":
        figures |= {f"feature_importance_{kind}.png" for kind in ("weight", "gain", "cover")}
        others |= {f"feature_importance_{kind}.json" for kind in ("weight", "gain", "cover")}
    files = {file.path for file in client.list_artifacts(run.info.run_id)} - {"model"}
    assert figures | others <= files
    if case.family == "xgboost":
        assert files == figures | others
    for figure in figures:
        content = Path(client.download_artifacts(run.info.run_id, figure, str(tmp_path))).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 5000 or (case.kind, case.family) not in DRAWN

    importance = case.json("feature_importance.json")
    assert list(importance) == case.experiment.fitted.features
    assert sum(importance.values()) > 0
    info = case.json("model_info.json")
    assert info == {
        "feature_names": case.experiment.fitted.features,
        "n_features": len(case.experiment.fitted.features),
        "model_type": MODELS[case.family][case.kind != "regression"],
    }
    stored = yaml.safe_load(Path(client.download_artifacts(run.info.run_id, "params.yaml", str(tmp_path))).read_text())
    assert stored["dataset"]["target"] == TARGETS[case.kind]
    assert stored["train"]["search"]["space"]["nn"] == {"alpha": [0.01, 0.1]}


def test_classification_run_has_confusion_matrix_and_report(case: Standard) -> None:
    if case.kind == "regression":
        return
    y, predicted = case.tables.data.y_test, case.experiment.fitted.outputs.argmax(axis=1)
    matrix = case.json("confusion_matrix.json")
    assert matrix["labels"] == (["False", "True"] if case.kind == "binary" else ["<1H OCEAN", "INLAND", "NEAR [BAY]"])
    counts = [[int(np.sum((y == a) & (predicted == b))) for b in range(len(matrix["labels"]))] for a in np.unique(y)]
    assert matrix["counts"] == counts
    report = mlflow.artifacts.load_text(f"{case.run.info.artifact_uri}/classification_report.txt")
    assert all(label in report for label in [*matrix["labels"], "precision", "recall", "f1-score", "support"])


def test_model_loads_as_its_flavor_and_as_pyfunc(case: Standard) -> None:
    fitted, target = case.experiment.fitted, TARGETS[case.kind]
    flavor = mlflow.xgboost if case.family == "xgboost" else mlflow.sklearn
    bare = flavor.load_model(case.model_uri)
    X_test = case.tables.data.X_test[fitted.features]
    outputs = (bare.predict if case.kind == "regression" else bare.predict_proba)(X_test)
    np.testing.assert_allclose(outputs, fitted.outputs, rtol=1e-6)

    raw, rows = mlflow.pyfunc.load_model(case.model_uri), case.test.drop(columns=target)
    predicted = raw.predict(rows)
    inputs = [column for column in ("size <m2>", "rooms", "place", "garden", "price") if column != target]
    assert [column.name for column in raw.metadata.signature.inputs] == inputs
    assert len(raw.input_example) == 5
    if case.kind == "regression":
        np.testing.assert_array_equal(predicted, fitted.outputs)
    else:
        labels = case.tables.data.task.labels
        assert labels is not None
        assert list(predicted.columns) == ["prediction", *(f"probability_{label}" for label in labels)]
        assert [column.name for column in raw.metadata.signature.outputs] == list(predicted.columns)
        np.testing.assert_array_equal(predicted.iloc[:, 1:], fitted.outputs)
        assert list(predicted["prediction"]) == [labels[index] for index in fitted.outputs.argmax(axis=1)]
        np.testing.assert_allclose(predicted.iloc[:, 1:].sum(axis=1), 1, rtol=1e-5)
    unusual = rows.head(2).assign(**{"size <m2>": np.nan, **({} if target == "place" else {"place": "MOON"})})
    prediction = raw.predict(unusual)
    assert np.isfinite(np.asarray(prediction if case.kind == "regression" else prediction.iloc[:, 1:])).all()


def test_neural_network_logs_training_loss_of_every_epoch(case: Standard) -> None:
    history = open_store().get_metric_history(case.experiment.run_id, "train_loss")
    if case.family != "nn":
        assert history == []
        return
    model = case.experiment.fitted.model
    network = (model if case.kind != "regression" else model.regressor_).named_steps["mlp"]
    epochs = sorted((metric.step, metric.value) for metric in history)
    assert epochs == list(enumerate(network.loss_curve_, start=1))
    assert len(epochs) == case.experiment.fitted.scores.n_rounds


def test_models_are_byte_identical_in_another_folder(
    all_runs: dict[tuple[str, str], Standard], tmp_path: Path, migrated_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path / "somewhere" / "else", migrated_database)
    enter(folder, monkeypatch)
    again = {case.family: case.experiment for case in run_all(folder, "multiclass")}
    for name in FAMILIES:
        first = all_runs["multiclass", name].experiment
        assert again[name].model_sha256 == first.model_sha256
        assert again[name].fitted.metrics == first.fitted.metrics
    assert len({case.model_sha256 for case in again.values()}) == len(FAMILIES)
