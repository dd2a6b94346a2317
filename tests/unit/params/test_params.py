from pathlib import Path

import pytest

from pipeline.errors import FormulaError, ParamsError
from pipeline.learn.families import family, names
from pipeline.params.load import check_params, load_params
from support.repositories import ROOT

DATASET = {"path": "data.csv", "target": "y"}


def test_the_committed_params_are_valid() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.registry.model_name == "housing-price-production"
    assert params.train.experiment_name == "housing-price-prediction"


def test_only_the_dataset_section_is_required() -> None:
    assert check_params({"dataset": DATASET}, "params.yaml").train.cv_folds == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "params.yaml has no sections"),
        ({}, "dataset: missing"),
        ({"dataset": {"path": "x.csv"}}, "dataset.target: missing"),
        ({"dataset": DATASET, "trian": {}}, "trian: unknown key; .* dataset, features, evaluate, train, register"),
        ({"dataset": DATASET | {"tagret": "y"}}, "dataset.tagret: unknown key; known keys are path, target"),
        (
            {"dataset": DATASET | {"task": "ranking"}},
            "dataset.task: must be regression or classification .it is 'ranking'",
        ),
        ({"dataset": DATASET | {"drop": "y"}}, "dataset.drop: .*list"),
        ({"dataset": DATASET | {"drop": ["y"]}}, "dataset: the target 'y' cannot also be in `drop`"),
        ({"dataset": DATASET | {"categorical": ["y"]}}, "cannot also be in `categorical`"),
        ({"dataset": DATASET | {"categorical": ["a"], "drop": ["a"]}}, "a cannot be both"),
        ({"dataset": DATASET | {"derived": {"y": "a + b"}}}, "cannot also be a name in `derived`"),
        (
            {"dataset": DATASET | {"split": {"test_size": 1.5}}},
            r"dataset.split.test_size: must be a number below 1 .it is 1\.5",
        ),
        ({"dataset": DATASET | {"split": {"test_size": "0.2"}}}, "dataset.split.test_size: .*number"),
        ({"dataset": DATASET | {"split": {"strategy": "time"}}}, "dataset.split: strategy time needs `column`"),
        ({"dataset": DATASET | {"split": {"column": "a"}}}, "dataset.split: strategy random does not use `column`"),
        (
            {"dataset": DATASET, "train": {"cv_folds": 1}},
            "train.cv_folds: must be 2 or more .it is 1",
        ),
        ({"dataset": DATASET, "train": {"cv_folds": True}}, "train.cv_folds: .*whole number.*it is true"),
        ({"dataset": DATASET, "train": {"search": {"sampler": "grid"}}}, "search.sampler: must be tpe or random"),
        (
            {"dataset": DATASET, "train": {"search": {"time_budget": 0}}},
            "search.time_budget: must be a number above 0 or null",
        ),
        ({"dataset": DATASET, "train": {"search": {"time_budget": float("inf")}}}, "search.time_budget: .*it is inf"),
        (
            {"dataset": DATASET, "train": {"search": {"max_rounds": 10**30}}},
            "max_rounds: must be at most 100000",
        ),
        ({"dataset": DATASET, "features": {"neighbors": {"k": 0, "by": ["a"]}}}, "features.neighbors.k: "),
        ({"dataset": DATASET, "features": {"neighbors": {"k": 1, "by": ["a", "a"]}}}, "`by` names a column twice"),
        (
            {"dataset": DATASET, "features": {"neighbors": {"n": 1, "k": 1, "by": ["a"]}}},
            "features.neighbors.n: unknown key; known keys are k, by, means",
        ),
        ({"dataset": DATASET, "features": {"flux": 1}}, "features.flux: must be true or false .it is 1"),
        ({"dataset": DATASET | {"drop_duplicates": "no"}}, "dataset.drop_duplicates: must be true or false"),
        (
            {"dataset": DATASET, "evaluate": {"thresholds": [0.5, 1.0]}},
            "evaluate.thresholds.1: must be a number below 1 .it is 1.0",
        ),
        ({"dataset": DATASET, "evaluate": {"custom": "profit"}}, "evaluate.custom: must be module:function"),
        (
            {"dataset": DATASET, "evaluate": {"greater_is_better": True}},
            "evaluate: `greater_is_better` needs `choose_by`",
        ),
        ({"dataset": DATASET, "evaluate": {"chose_by": "f1"}}, "evaluate.chose_by: unknown .* custom, choose_by"),
        ({"dataset": DATASET, "register": {"stage": "production"}}, "register.stage: .*Production"),
        ({"dataset": DATASET, "register": {"model_name": "a/b"}}, "register.model_name: .*characters"),
    ],
)
def test_a_message_names_the_invalid_key(content: object, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check_params(content, "params.yaml")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {"svm": {}},
            "train.search: `space` names 'svm', which is not a model family .lightgbm, nn, random_forest, xgboost",
        ),
        ({"max_depth": [1, 2]}, "names 'max_depth', .*below their family"),
        ({"xgboost": {"eta": [1]}}, "`space.xgboost.eta` is not one of learning_rate"),
        ({"xgboost": {"subsample": [0]}}, "`space.xgboost.subsample` holds 0; it must be above 0, at most 1"),
        ({"xgboost": {"max_depth": [2.5]}}, "it must be a whole number, 1 or more, at most 30"),
        ({"xgboost": {"gamma": ["x"]}}, "`space.xgboost.gamma` holds 'x'"),
        ({"xgboost": {"gamma": []}}, "train.search.space.xgboost.gamma: must be a list of 1 or more items"),
        ({"xgboost": {"gamma": {"lo": 1}}}, "gamma.lo: unknown .* low, high, log"),
        ({"xgboost": {"gamma": {"low": 2, "high": 1}}}, "train.search.space.xgboost.gamma: `low` must be below"),
        ({"xgboost": {"gamma": {"low": 0, "high": 1.5, "log": True}}}, "`log` needs `low` above 0"),
        ({"xgboost": {"gamma": {"low": 1, "high": 9, "log": True}}}, "with a decimal point"),
        ({"nn": {"hidden_layer_sizes": [[8], [4]]}}, "train.search.space.nn.hidden_layer_sizes"),
        ({"nn": {"hidden_layer_sizes": [8, 4]}}, "`space.nn.hidden_layer_sizes` cannot be searched"),
        ({"random_forest": {"class_weight": ["equal"]}}, "holds 'equal'; it must be balanced or balanced_subsample"),
    ],
)
def test_a_message_names_the_invalid_key_of_a_space(space: object, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check_params({"dataset": DATASET, "train": {"search": {"space": space}}}, "params.yaml")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            {"models": ["svm"]},
            "train: `models` names 'svm'; the model families are lightgbm, nn, random_forest, xgboost",
        ),
        ({"models": ["nn", "nn"]}, "train: `models` names a family twice"),
        ({"models": []}, "train.models: must be a list of 1 or more items"),
        ({"params": {"svm": {}}}, "train: `params` names 'svm'"),
        ({"params": {"xgboost": {"depth": 3}}}, "train: `params.xgboost.depth` is not one of learning_rate, max_depth"),
        (
            {"params": {"xgboost": {"max_depth": "deep"}}},
            "`params.xgboost.max_depth` is 'deep'; it must be a whole",
        ),
        ({"params": {"xgboost": {"scale_pos_weight": 0}}}, "is 0; it must be above 0, at most 1e[+]09, or balanced"),
        ({"params": {"random_forest": {"n_estimators": 0}}}, "`params.random_forest.n_estimators` is 0"),
        (
            {"params": {"random_forest": {"max_features": True}}},
            "is True; it must be above 0, at most 1, or sqrt",
        ),
        ({"params": {"nn": {"hidden_layer_sizes": 128}}}, "is 128; it must be a list of whole numbers above 0"),
        ({"params": {"nn": {"hidden_layer_sizes": [8, 0]}}}, "it must be a list of whole numbers above 0"),
        (
            {"params": {"xgboost": {"gamma": 1}}, "search": {"space": {"xgboost": {"gamma": [1, 2]}}}},
            "train: `params.xgboost.gamma` is fixed and also in `search.space.xgboost`: remove one",
        ),
    ],
)
def test_a_message_names_the_invalid_key_of_train(train: object, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        check_params({"dataset": DATASET, "train": train}, "params.yaml")


def test_fixed_hyperparameters_are_not_searched_and_a_space_replaces_the_default() -> None:
    train = {"params": {"random_forest": {"max_depth": None}}, "search": {"space": {"nn": {"alpha": [0.1, 1]}}}}
    params = check_params({"dataset": DATASET, "train": train}, "params.yaml").train
    assert set(params.space_of("random_forest")) == {"max_features", "min_samples_leaf"}
    assert set(params.space_of("nn")) == {"alpha"}
    assert set(params.space_of("xgboost")) == set(family("xgboost").space)
    empty_space = check_params({"dataset": DATASET, "train": {"search": {"space": {"nn": {}}}}}, "params.yaml").train
    assert empty_space.space_of("nn") == {}
    fixed_depth = check_params({"dataset": DATASET, "train": {"params": {"xgboost": {"max_depth": 3}}}}, "params.yaml")
    assert set(fixed_depth.train.space_of("xgboost")) == set(family("xgboost").space) - {"max_leaves"}


@pytest.mark.parametrize("name", names())
def test_the_defaults_and_the_space_of_a_family_are_valid(name: str) -> None:
    stated = family(name)
    for key, value in stated.defaults.items():
        assert stated.parameters[key].violation(value) is None
    check_params({"dataset": DATASET, "train": {"search": {"space": {name: stated.space}}}}, "params.yaml")


def test_an_invalid_formula_is_refused_by_name() -> None:
    with pytest.raises(FormulaError, match=r"dataset.derived.z in params.yaml holds"):
        check_params({"dataset": DATASET | {"derived": {"z": "open('x')"}}}, "params.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"dataset:\n  path: a\n  path: b\n", 'found duplicate key "path" .*line 3'),
        (b"dataset:\n  drop: [2020-13-45]\n", "not valid YAML"),
        (b"dataset: [", "not valid YAML"),
        (b"dataset:\n  path: \xff", "not valid YAML"),
        (None, "does not exist"),
    ],
)
def test_an_unreadable_file_is_refused(tmp_path: Path, text: bytes | None, message: str) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ParamsError, match=message):
        load_params(path)
