import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.features.model_files import PICKLE
from pipeline.learn.families import check_installed, family, is_installed, lightgbm, nn, random_forest, ranked_names
from pipeline.learn.learner import FoldTables, Problem
from pipeline.learn.search_params import SearchParams
from pipeline.learn.task import Task
from pipeline.params.load import load_params
from pipeline.params.schema import Params
from pipeline.prepare.stage import prepare
from pipeline.train.fit import Fitter, balanced_weight, parameters_of
from pipeline.train.stage import train
from pipeline.train.tables import load_tables
from pipeline.train.training_data import TrainingData
from support.families import FAMILY_CASES, fit_model, make_learner
from support.folders import write_params
from support.repositories import change_params

needs_lightgbm = pytest.mark.skipif(not is_installed("lightgbm"), reason="lightgbm is not installed")
REGRESSION, BINARY, MULTICLASS = Task(), Task(["no", "yes"]), Task(["a", "b", "c"])


def make_rows(n_rows: int, task: Task) -> tuple[pd.DataFrame, NDArray[Any]]:
    """Return features with missing values, and a target that depends on the values and on where they are missing."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.normal(size=(n_rows, 4)), columns=list("abcd")).astype("float32")
    signal = X["a"] + X["b"] * X["c"] + rng.normal(0, 0.2, n_rows)
    X.loc[rng.random(n_rows) < 0.2, "a"] = np.nan
    X.loc[signal > 1.2, "d"] = np.nan
    y = signal.to_numpy(np.float64)
    if task.labels:
        y = np.digitize(y, np.quantile(y, [0.6] if task.n_classes == 2 else [0.3, 0.8]))
    return X, y


def make_fold(n_rows: int, task: Task) -> FoldTables:
    X, y = make_rows(n_rows, task)
    n_train = 2 * n_rows // 3
    return X[:n_train], y[:n_train], X[n_train:], y[n_train:]


def predict_outputs(model: Any, task: Task, X: pd.DataFrame) -> NDArray[np.float64]:
    return np.asarray((model.predict_proba if task.labels else model.predict)(X), dtype=np.float64)


def test_a_forest_is_fitted_with_the_defaults_of_the_family() -> None:
    fold = make_fold(150, BINARY)
    made = make_learner("random_forest", BINARY, fold)
    sampled, rounds = made.final_params(None)
    forest = made.estimator(sampled, rounds, fold[1])
    made.fit(forest, *fold[:2])
    assert len(forest.estimators_) == 200
    forest_params = forest.get_params()
    assert {
        name: forest_params[name] for name in ("max_depth", "min_samples_split", "min_samples_leaf", "class_weight")
    } == {
        "max_depth": 20,
        "min_samples_split": 5,
        "min_samples_leaf": 2,
        "class_weight": None,
    }
    assert "class_weight" not in make_learner("random_forest", REGRESSION, fold).estimator({}, 5, fold[1]).get_params()


def test_max_features_1_means_all_features() -> None:
    fold = make_fold(60, REGRESSION)
    forest = fit_model("random_forest", REGRESSION, fold, 2, max_features=1)
    assert forest.estimators_[0].max_features_ == 4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingData]:
    """Return a prepared folder and its training data, with missing numbers and a classification target."""
    folder = tmp_path_factory.mktemp("families")
    write_params(folder)
    change_params(folder, dataset={"path": "data.csv", "target": "garden", "task": "classification"})
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        params = load_params().model_copy(update={"features": Params.model_fields["features"].default})
        prepare(params.dataset, folder)
        return folder, load_tables(folder, params).data


def test_a_neural_network_has_layers_128_64_32_on_scaled_and_imputed_inputs(
    prepared: tuple[Path, TrainingData],
) -> None:
    folder, data = prepared
    scaler, features = joblib.load(folder / "models/standard_scaler.pkl"), data.features
    train_params = Params.model_validate({"dataset": {"path": "x", "target": "y"}}).train
    made = Fitter.from_params("nn", train_params, data).learner
    model = made.estimator({}, 3, data.y_train)
    made.fit(model, data.X_train, data.y_train)
    shapes = [layer.shape for layer in nn.network_of(model).coefs_]
    assert shapes == [(len(features), 128), (128, 64), (64, 32), (32, 1)]
    inputs = pd.DataFrame(model[:-1].transform(data.X_train), columns=features)
    assert not inputs.isna().any().any()
    for index, name in enumerate(scaler.feature_names_in_):
        raw = data.X_train[name].to_numpy(np.float64)
        expected = (raw - scaler.mean_[index]) / np.sqrt(scaler.var_[index])
        assert not np.isnan(raw).all()
        np.testing.assert_allclose(inputs[name], np.nan_to_num(expected, nan=0.0), rtol=1e-5, atol=1e-5)
    categories = [name for name in features if name not in scaler.feature_names_in_]
    assert categories
    np.testing.assert_array_equal(inputs[categories], data.X_train[categories])  # 0/1 features are not scaled


def test_predictions_of_a_neural_network_are_in_the_unit_of_the_target() -> None:
    X, y, X_valid, y_valid = make_fold(600, REGRESSION)
    rescaled: FoldTables = (X, 1e6 + 1e4 * y, X_valid, 1e6 + 1e4 * y_valid)
    model = fit_model("nn", REGRESSION, rescaled, 30)
    error = np.sqrt(np.mean((model.predict(X_valid) - rescaled[3]) ** 2))
    assert error < 0.8 * rescaled[3].std()


@pytest.mark.parametrize("task", [REGRESSION, BINARY, MULTICLASS], ids=["regression", "binary", "three"])
@pytest.mark.parametrize("batch_size", ["auto", 32])
def test_fitting_epoch_by_epoch_equals_one_fit(task: Task, batch_size: str | int) -> None:
    fold = make_fold(300, task)
    nn_learner = make_learner("nn", task, fold, batch_size=batch_size)
    one_fit = fit_model("nn", task, fold, 6, batch_size=batch_size)
    staged_outputs = list(nn.fit_staged(nn_learner.estimator({}, 6, fold[1]), fold, [2, 6], True, task.n_classes))
    assert len(staged_outputs) == 2
    for outputs, X in zip(staged_outputs[-1], (fold[0], fold[2]), strict=True):
        np.testing.assert_allclose(outputs, predict_outputs(one_fit, task, X), rtol=1e-5, atol=1e-6)
    assert np.abs(staged_outputs[0][1] - staged_outputs[1][1]).max() > 1e-3


@pytest.mark.parametrize("task", [REGRESSION, BINARY, MULTICLASS], ids=["regression", "binary", "three"])
def test_outputs_tree_by_tree_end_at_those_of_the_forest(task: Task) -> None:
    fold = make_fold(300, task)
    assert fold[2].isna().any().any()
    forest = make_learner("random_forest", task, fold).estimator({}, 9, fold[1])
    staged_outputs = list(random_forest.fit_staged(forest, fold, [1, 4, 9], True, task.n_classes))
    assert len(staged_outputs) == 3
    for outputs, X in zip(staged_outputs[-1], (fold[0], fold[2]), strict=True):
        np.testing.assert_allclose(outputs, predict_outputs(forest, task, X), rtol=1e-12)
    first_tree = predict_outputs(forest.estimators_[0], task, fold[2].to_numpy())
    np.testing.assert_allclose(staged_outputs[0][1], first_tree, rtol=1e-12)


@needs_lightgbm
@pytest.mark.parametrize("task", [REGRESSION, BINARY, MULTICLASS], ids=["regression", "binary", "three"])
def test_outputs_round_by_round_end_at_those_of_lightgbm(task: Task, capfd: pytest.CaptureFixture[str]) -> None:
    fold = make_fold(300, task)
    for X in (fold[0], fold[2]):
        X.columns = ["a[b]", "a b", '{"x"}: 1', "é,"]  # LightGBM refuses such names
    model = fit_model("lightgbm", task, fold, 9)
    unfitted = make_learner("lightgbm", task, fold).estimator({}, 9, fold[1])
    staged_outputs = list(lightgbm.fit_staged(unfitted, fold, [1, 4, 9], True, task.n_classes))
    assert len(staged_outputs) == 3
    for outputs, X in zip(staged_outputs[-1], (fold[0], fold[2]), strict=True):
        np.testing.assert_allclose(outputs, predict_outputs(model, task, X), rtol=1e-12)
    assert np.abs(staged_outputs[0][1] - staged_outputs[1][1]).max() > 1e-3
    assert capfd.readouterr() == ("", "")


@needs_lightgbm
def test_boosting_of_lightgbm_ends_soon_after_the_best_round() -> None:
    fold = make_fold(300, REGRESSION)
    boosted = make_learner("lightgbm", REGRESSION, fold)
    assert boosted.final_params(None) == ({}, SearchParams().max_rounds)
    scores = boosted.cross_validate({}, 2000, choose_round=True)
    rmse = np.sqrt(np.mean((scores.outputs[0] - fold[3]) ** 2))
    assert scores.fold_scores == [pytest.approx(rmse)] == [min(scores.valid_curves[0])]
    assert 5 < scores.n_rounds < 500
    all_rounds = boosted.cross_validate({}, 300, choose_round=False)
    assert all_rounds.n_rounds == 300
    assert all_rounds.mean > scores.mean


def test_a_family_whose_package_is_missing_is_skipped_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed(["xgboost"])
    monkeypatch.setitem(sys.modules, "lightgbm", None)  # importing it fails
    assert ranked_names() == ["random_forest", "xgboost", "nn"]
    with pytest.raises(PipelineError) as caught:
        check_installed(["xgboost", "lightgbm"])
    assert caught.value.problem == "lightgbm is not installed, which models of the family lightgbm need"
    assert caught.value.remedy == "pip install -r requirements-lightgbm.txt"


@needs_lightgbm
def test_a_model_whose_package_is_missing_is_an_error_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PICKLE.save(fit_model("lightgbm", REGRESSION, make_fold(60, REGRESSION), 2), tmp_path / "model.pkl")
    assert PICKLE.load(tmp_path / "model.pkl", False).n_estimators == 2
    for name in [name for name in sys.modules if name.partition(".")[0] == "lightgbm"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PipelineError, match=r"model.pkl needs the package lightgbm\S*, which is not installed"):
        PICKLE.load(tmp_path / "model.pkl", False)


@pytest.mark.parametrize("name", FAMILY_CASES)
def test_a_class_without_training_rows_in_a_fold_has_its_column(name: str) -> None:
    X, y, X_valid, y_valid = make_fold(300, MULTICLASS)
    fold: FoldTables = (X[y != 1], y[y != 1], X_valid, y_valid)
    assert 1 in y_valid
    scores = make_learner(name, MULTICLASS, fold).cross_validate({}, 4, choose_round=False)
    (outputs,) = scores.outputs
    assert outputs.shape == (len(y_valid), 3)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)
    assert outputs[:, 1].max() < 1 / 3
    assert np.isfinite(scores.fold_scores).all()
    if name == "random_forest":
        forest = random_forest.make(Problem(**vars(make_learner(name, MULTICLASS, fold).problem)), {}, 4)  # type: ignore[attr-defined]
        ((_, probabilities),) = random_forest.fit_staged(forest, fold, [4], False, 3)
        assert (probabilities[:, 1] == 0).all()
        np.testing.assert_allclose(probabilities[:, [0, 2]], forest.predict_proba(X_valid), rtol=1e-12)


def test_balanced_is_the_ratio_of_negative_to_positive_training_rows(prepared: tuple[Path, TrainingData]) -> None:
    _, data = prepared
    train_params = Params.model_validate(
        {"dataset": {"path": "x", "target": "y"}, "train": {"params": {"xgboost": {"scale_pos_weight": "balanced"}}}}
    ).train
    negative, positive = np.bincount(data.y_train)
    assert negative != positive
    assert balanced_weight(data.y_train) == negative / positive
    xgboost_learner = Fitter.from_params("xgboost", train_params, data).learner
    model = xgboost_learner.estimator({}, 3, data.y_train)
    assert model.get_params()["scale_pos_weight"] == pytest.approx(negative / positive)
    xgboost_learner.fit(model, data.X_train, data.y_train)
    match = re.search(r'"scale_pos_weight":"([\d.]+)"', model.get_booster().save_config())
    assert match is not None
    assert float(match[1]) == pytest.approx(negative / positive, rel=1e-6)
    searched = train_params.model_copy(
        update={"params": {}, "search": SearchParams(space={"xgboost": {"scale_pos_weight": [1, "balanced"]}})}
    )
    _, space = parameters_of("xgboost", searched, data.task, data.y_train)
    assert space == {"scale_pos_weight": [1, negative / positive]}


def xgboost_params(y: list[float], task: Task = REGRESSION, **train: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    dataset = {"path": "x", "target": "y"}
    params = Params.model_validate({"dataset": dataset, "train": train}).train
    return parameters_of("xgboost", params, task, np.array(y))


def test_only_objectives_that_suit_the_target_are_searched() -> None:
    every = ["reg:squarederror", "reg:tweedie", "reg:gamma"]
    assert xgboost_params([1, 2])[1]["objective"] == every
    assert xgboost_params([0, 2])[1]["objective"] == every[:2]
    fixed, space = xgboost_params([-1, 2])
    assert fixed["objective"] == "reg:squarederror"
    assert "objective" not in space
    assert "objective" not in xgboost_params([0, 1], BINARY)[1]


def test_a_single_objective_is_used() -> None:
    search = {"space": {"xgboost": {"objective": ["reg:gamma"], "max_depth": [2, 3]}}}
    assert xgboost_params([1, 2], search=search) == ({"objective": "reg:gamma"}, {"max_depth": [2, 3]})
    with pytest.raises(PipelineError, match=r"suit the target: it needs values above 0, but the smallest is 0 ?\n"):
        xgboost_params([0, 2], search=search)
    with pytest.raises(PipelineError, match="it needs values of at least 0, but the smallest is -1"):
        xgboost_params([-1, 2], params={"xgboost": {"objective": "reg:tweedie"}})
    with pytest.raises(PipelineError, match="remove it: it is for regressions"):
        xgboost_params([0, 1], BINARY, params={"xgboost": {"objective": "reg:tweedie"}})


def test_balanced_is_rejected_unless_the_classification_is_binary(pipeline_folder: Path) -> None:
    dataset = {"path": "data.csv", "target": "place", "task": "classification"}
    models = {"models": ["random_forest", "xgboost"], "params": {"xgboost": {"scale_pos_weight": "balanced"}}}
    change_params(pipeline_folder, dataset=dataset, features={}, train={"experiment_name": "small", **models})
    prepare(load_params().dataset, pipeline_folder)
    with pytest.raises(
        PipelineError, match=r"params.yaml sets scale_pos_weight of xgboost, but the target does not have"
    ):
        train(load_params(), pipeline_folder)  # fails before it opens a store


@pytest.mark.parametrize("task", [REGRESSION, BINARY, MULTICLASS], ids=["regression", "binary", "three"])
def test_shap_values_of_a_forest_sum_to_the_prediction_with_missing_values(task: Task) -> None:
    fold = make_fold(400, task)
    forest = fit_model("random_forest", task, fold, 15)
    rows = fold[2]
    assert rows.isna().mean()["d"] > 0.05
    values, base_values, unit = random_forest.explain(forest, rows, rows)
    outputs = predict_outputs(forest, task, rows)
    outputs = outputs[:, 1] if task.n_classes == 2 else outputs
    assert values.shape == (*rows.shape, *outputs.shape[1:])
    assert base_values.shape == outputs.shape[1:]
    np.testing.assert_allclose(base_values + values.sum(axis=1), outputs, rtol=1e-6, atol=1e-6)
    assert np.abs(values[:, 3]).max() > 0.01
    assert unit == ("probability" if task.labels else "")


@pytest.mark.parametrize(
    ("name", "option"), [("xgboost", "output_margin"), pytest.param("lightgbm", "raw_score", marks=needs_lightgbm)]
)
@pytest.mark.parametrize("task", [REGRESSION, BINARY, MULTICLASS], ids=["regression", "binary", "three"])
def test_shap_values_of_boosted_trees_sum_to_the_margin(name: str, option: str, task: Task) -> None:
    fold = make_fold(400, task)
    model = fit_model(name, task, fold, 15)
    values, base_values, unit = family(name).explain(model, fold[2], fold[2])
    margins = np.asarray(model.predict(fold[2], **{option: True}))
    assert values.shape == (*fold[2].shape, *margins.shape[1:])
    assert base_values.shape == margins.shape[1:]
    np.testing.assert_allclose(base_values + values.sum(axis=1), margins, atol=1e-5)
    assert unit == ("log-odds" if task.labels else "")


@pytest.mark.parametrize("task", [REGRESSION, BINARY, MULTICLASS], ids=["regression", "binary", "three"])
def test_shap_values_of_a_neural_network_sum_to_the_output_and_are_reproducible(task: Task) -> None:
    fold = make_fold(300, task)
    model, rows, background = fit_model("nn", task, fold, 10), fold[2].head(12), fold[0].head(20)
    values, base_values, unit = nn.explain(model, rows, background)
    outputs = predict_outputs(model, task, rows)
    outputs = outputs[:, 1] if task.n_classes == 2 else outputs
    assert values.shape == (*rows.shape, *outputs.shape[1:])
    assert base_values.shape == outputs.shape[1:]
    np.testing.assert_allclose(base_values + values.sum(axis=1), outputs, atol=1e-5)
    means = predict_outputs(model, task, background).mean(axis=0)
    np.testing.assert_allclose(base_values, means[1] if task.n_classes == 2 else means, atol=1e-5)
    np.testing.assert_array_equal(nn.explain(model, rows, background)[0], values)
    assert unit == ("probability" if task.labels else "")


@pytest.mark.parametrize("name", FAMILY_CASES)
@pytest.mark.parametrize("task", [REGRESSION, BINARY, MULTICLASS], ids=["regression", "binary", "three"])
def test_importance_of_a_useless_feature_is_zero(name: str, task: Task) -> None:
    fold = make_fold(400, task)
    fold[0]["noise"] = np.float32(1)
    model = fit_model(name, task, (fold[0], fold[1], fold[0], fold[1]), 20)
    for measure in family(name).importance(model, fold[0], fold[1]).values():
        assert list(measure) == list(fold[0].columns)
        assert measure["noise"] == 0
        assert max(measure.values()) > 0


@pytest.mark.parametrize("name", FAMILY_CASES)
def test_larger_models_have_fewer_explainable_rows(name: str) -> None:
    fold = make_fold(900, BINARY)
    sizes: Callable[[int], dict[str, Any]] = {
        "lightgbm": lambda size: {"num_leaves": 2**size},
        "nn": lambda size: {"hidden_layer_sizes": [64 * size**2]},
        "random_forest": lambda size: {"max_depth": 2 * size},
        "xgboost": lambda size: {"max_depth": size},
    }[name]
    small, large = (fit_model(name, BINARY, fold, 20, **sizes(size)) for size in (2, 8))
    n_small, n_large = (family(name).explainable_rows(model, 600 * 20, 2) for model in (small, large))
    assert 1 <= n_large < n_small
