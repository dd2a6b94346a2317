from pathlib import Path

import pytest

from pipeline.errors import FormulaError, ParamsError
from pipeline.learn.families import family, names
from pipeline.params.load import check_params, load_params
from support.repositories import ROOT

DATASET = {"path": "data.csv", "target": "y"}


def test_the_projects_own_params_are_valid() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.registry.model_name == "housing-price-production"
    assert params.train.experiment_name == "housing-price-prediction"


def test_a_dataset_is_all_that_is_needed() -> None:
    assert check_params({"dataset": DATASET}, "params.yaml").train.cv_folds == 5


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, "params.yaml holds no keys"),
        ({}, "dataset: missing"),
        ({"dataset": {"path": "x.csv"}}, "dataset.target: missing"),
        ({"dataset": DATASET, "trian": {}}, "trian: unknown key; .* dataset, features, evaluate, train, register"),
        ({"dataset": DATASET | {"tagret": "y"}}, "dataset.tagret: unknown key; known are path, target"),
        (
            {"dataset": DATASET | {"task": "ranking"}},
            "dataset.task: it takes regression or classification .it is 'ranking'",
        ),
        ({"dataset": DATASET | {"drop": "y"}}, "dataset.drop: .*list"),
        ({"dataset": DATASET | {"drop": ["y"]}}, "dataset: the target 'y' cannot also be in `drop`"),
        ({"dataset": DATASET | {"categorical": ["y"]}}, "cannot also be in `categorical`"),
        ({"dataset": DATASET | {"categorical": ["a"], "drop": ["a"]}}, "a cannot be both"),
        ({"dataset": DATASET | {"derived": {"y": "a + b"}}}, "cannot also be a name in `derived`"),
        (
            {"dataset": DATASET | {"split": {"test_size": 1.5}}},
            r"dataset.split.test_size: it takes a number below 1 .it is 1\.5",
        ),
        ({"dataset": DATASET | {"split": {"test_size": "0.2"}}}, "dataset.split.test_size: .*number"),
        ({"dataset": DATASET | {"split": {"strategy": "time"}}}, "dataset.split: strategy time needs `column`"),
        ({"dataset": DATASET | {"split": {"column": "a"}}}, "dataset.split: strategy random takes no `column`"),
        (
            {"dataset": DATASET, "train": {"cv_folds": 1}},
            "train.cv_folds: it takes 2 or more .it is 1",
        ),
        ({"dataset": DATASET, "train": {"cv_folds": True}}, "train.cv_folds: .*whole number.*it is true"),
        ({"dataset": DATASET, "train": {"search": {"sampler": "grid"}}}, "search.sampler: it takes tpe or random"),
        (
            {"dataset": DATASET, "train": {"search": {"time_budget": 0}}},
            "search.time_budget: it takes a number above 0 or null",
        ),
        ({"dataset": DATASET, "train": {"search": {"time_budget": float("inf")}}}, "search.time_budget: .*it is inf"),
        (
            {"dataset": DATASET, "train": {"search": {"max_rounds": 10**30}}},
            "max_rounds: it takes at most 100000",
        ),
        ({"dataset": DATASET, "features": {"neighbors": {"k": 0, "by": ["a"]}}}, "features.neighbors.k: "),
        ({"dataset": DATASET, "features": {"neighbors": {"k": 1, "by": ["a", "a"]}}}, "`by` names a column twice"),
        (
            {"dataset": DATASET, "features": {"neighbors": {"n": 1, "k": 1, "by": ["a"]}}},
            "features.neighbors.n: unknown key; known are k, by, means",
        ),
        ({"dataset": DATASET, "features": {"flux": 1}}, "features.flux: it takes true or false .it is 1"),
        ({"dataset": DATASET | {"drop_duplicates": "no"}}, "dataset.drop_duplicates: it takes true or false"),
        (
            {"dataset": DATASET, "evaluate": {"thresholds": [0.5, 1.0]}},
            "evaluate.thresholds.1: it takes a number below 1 .it is 1.0",
        ),
        ({"dataset": DATASET, "evaluate": {"custom": "profit"}}, "evaluate.custom: it takes module:function"),
        ({"dataset": DATASET, "evaluate": {"greater_is_better": True}}, "evaluate: `greater_is_better` is said of"),
        ({"dataset": DATASET, "evaluate": {"chose_by": "f1"}}, "evaluate.chose_by: unknown .* custom, choose_by"),
        ({"dataset": DATASET, "register": {"stage": "production"}}, "register.stage: .*Production"),
        ({"dataset": DATASET, "register": {"model_name": "a/b"}}, "register.model_name: .*letters"),
    ],
)
def test_a_mistake_is_named_by_its_key(content: object, named: str) -> None:
    with pytest.raises(ParamsError, match=named):
        check_params(content, "params.yaml")


@pytest.mark.parametrize(
    ("space", "named"),
    [
        (
            {"svm": {}},
            "train.search: `space` names 'svm'; below it stand the model families, nn, random_forest",
        ),
        ({"max_depth": [1, 2]}, "names 'max_depth'; .*below each its parameters"),
        ({"xgboost": {"eta": [1]}}, "`space.xgboost.eta` is not one of learning_rate"),
        ({"xgboost": {"subsample": [0]}}, "`space.xgboost.subsample` holds 0; it takes above 0, at most 1"),
        ({"xgboost": {"max_depth": [2.5]}}, "it takes whole numbers, 1 or more, at most 30"),
        ({"xgboost": {"gamma": ["x"]}}, "`space.xgboost.gamma` holds 'x'"),
        ({"xgboost": {"gamma": []}}, "train.search.space.xgboost.gamma: it takes a list of at least 1"),
        ({"xgboost": {"gamma": {"lo": 1}}}, "gamma.lo: unknown .* low, high, log"),
        ({"xgboost": {"gamma": {"low": 2, "high": 1}}}, "train.search.space.xgboost.gamma: `low` must be below"),
        ({"xgboost": {"gamma": {"low": 0, "high": 1.5, "log": True}}}, "`log` needs `low` above 0"),
        ({"xgboost": {"gamma": {"low": 1, "high": 9, "log": True}}}, "with a decimal point"),
        ({"nn": {"hidden_layer_sizes": [[8], [4]]}}, "train.search.space.nn.hidden_layer_sizes"),
        ({"nn": {"hidden_layer_sizes": [8, 4]}}, "`space.nn.hidden_layer_sizes` cannot be searched"),
        ({"random_forest": {"class_weight": ["equal"]}}, "holds 'equal'; it takes balanced or balanced_subsample"),
    ],
)
def test_a_mistake_in_a_space_is_named_by_its_key(space: object, named: str) -> None:
    with pytest.raises(ParamsError, match=named):
        check_params({"dataset": DATASET, "train": {"search": {"space": space}}}, "params.yaml")


@pytest.mark.parametrize(
    ("train", "named"),
    [
        ({"models": ["svm"]}, "train: `models` names 'svm'; the model families are nn, random_forest, xgboost"),
        ({"models": ["nn", "nn"]}, "train: `models` names a family twice"),
        ({"models": []}, "train.models: it takes a list of at least 1"),
        ({"params": {"svm": {}}}, "train: `params` names 'svm'"),
        ({"params": {"xgboost": {"depth": 3}}}, "train: `params.xgboost.depth` is not one of learning_rate, max_depth"),
        (
            {"params": {"xgboost": {"max_depth": "deep"}}},
            "`params.xgboost.max_depth` is 'deep'; it takes whole",
        ),
        ({"params": {"xgboost": {"scale_pos_weight": 0}}}, "is 0; it takes above 0, at most 1e[+]09, or balanced"),
        ({"params": {"random_forest": {"n_estimators": 0}}}, "`params.random_forest.n_estimators` is 0"),
        (
            {"params": {"random_forest": {"max_features": True}}},
            "is True; it takes above 0, at most 1, or sqrt",
        ),
        ({"params": {"nn": {"hidden_layer_sizes": 128}}}, "is 128; it takes a list of whole numbers above 0"),
        ({"params": {"nn": {"hidden_layer_sizes": [8, 0]}}}, "it takes a list of whole numbers above 0"),
        (
            {"params": {"xgboost": {"gamma": 1}}, "search": {"space": {"xgboost": {"gamma": [1, 2]}}}},
            "train: `params.xgboost.gamma` is fixed and in `search.space.xgboost`: remove one",
        ),
    ],
)
def test_a_mistake_in_train_is_named_by_its_key(train: object, named: str) -> None:
    with pytest.raises(ParamsError, match=named):
        check_params({"dataset": DATASET, "train": train}, "params.yaml")


def test_what_is_fixed_is_not_searched_and_a_space_of_ones_own_replaces_the_familys() -> None:
    train = {"params": {"random_forest": {"max_depth": None}}, "search": {"space": {"nn": {"alpha": [0.1, 1]}}}}
    params = check_params({"dataset": DATASET, "train": train}, "params.yaml").train
    assert set(params.space_of("random_forest")) == {"max_features", "min_samples_leaf"}
    assert set(params.space_of("nn")) == {"alpha"}
    assert set(params.space_of("xgboost")) == set(family("xgboost").space)
    nothing = check_params({"dataset": DATASET, "train": {"search": {"space": {"nn": {}}}}}, "params.yaml").train
    assert nothing.space_of("nn") == {}


@pytest.mark.parametrize("name", names())
def test_what_a_family_fixes_and_searches_are_parameters_it_takes(name: str) -> None:
    stated = family(name)
    for key, value in stated.defaults.items():
        assert stated.parameters[key].refusal(value) is None
    check_params({"dataset": DATASET, "train": {"search": {"space": {name: stated.space}}}}, "params.yaml")


def test_a_formula_that_is_none_is_named() -> None:
    with pytest.raises(FormulaError, match=r"dataset.derived.z in params.yaml holds"):
        check_params({"dataset": DATASET | {"derived": {"z": "open('x')"}}}, "params.yaml")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"dataset:\n  path: a\n  path: b\n", 'found duplicate key "path" .*line 3'),
        (b"dataset:\n  drop: [2020-13-45]\n", "not valid YAML"),
        (b"dataset: [", "not valid YAML"),
        (b"dataset:\n  path: \xff", "not valid YAML"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: bytes | None, named: str) -> None:
    path = tmp_path / "params.yaml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(ParamsError, match=named):
        load_params(path)
