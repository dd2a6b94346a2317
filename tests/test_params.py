from pathlib import Path

import pytest

from pipeline.errors import FormulaError, ParamsError
from pipeline.params_file import check_params, load_params
from repositories import ROOT

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
        ({"dataset": DATASET, "trian": {}}, "trian: unknown key; known are dataset, features, train, register"),
        ({"dataset": DATASET | {"tagret": "y"}}, "dataset.tagret: unknown key; known are path, target"),
        ({"dataset": DATASET | {"task": "ranking"}}, "dataset.task: .*'regression' or 'classification'.*'ranking'"),
        ({"dataset": DATASET | {"drop": "y"}}, "dataset.drop: .*list"),
        ({"dataset": DATASET | {"drop": ["y"]}}, "dataset: the target 'y' cannot also be in `drop`"),
        ({"dataset": DATASET | {"categorical": ["y"]}}, "cannot also be in `categorical`"),
        ({"dataset": DATASET | {"categorical": ["a"], "drop": ["a"]}}, "a cannot be both"),
        ({"dataset": DATASET | {"derived": {"y": "a + b"}}}, "cannot also be a name in `derived`"),
        ({"dataset": DATASET | {"split": {"test_size": 1.5}}}, r"dataset.split.test_size: .*less than 1.*1\.5"),
        ({"dataset": DATASET | {"split": {"test_size": "0.2"}}}, "dataset.split.test_size: .*number"),
        ({"dataset": DATASET | {"split": {"strategy": "time"}}}, "dataset.split: strategy time needs `column`"),
        ({"dataset": DATASET | {"split": {"column": "a"}}}, "dataset.split: strategy random takes no `column`"),
        ({"dataset": DATASET, "train": {"cv_folds": 1}}, "train.cv_folds: .*greater than or equal to 2"),
        ({"dataset": DATASET, "train": {"cv_folds": True}}, "train.cv_folds: .*integer"),
        ({"dataset": DATASET, "train": {"search": {"space": {}}}}, "train.search.space: .*at least 1"),
        ({"dataset": DATASET, "train": {"search": {"space": {"eta": [1]}}}}, "`space.eta` is not one of learning_rate"),
        ({"dataset": DATASET, "train": {"search": {"space": {"subsample": [0]}}}}, "`space.subsample` holds 0"),
        ({"dataset": DATASET, "train": {"search": {"space": {"max_depth": [2.5]}}}}, "takes whole numbers"),
        ({"dataset": DATASET, "train": {"search": {"space": {"gamma": ["x"]}}}}, "`space.gamma` holds 'x'"),
        ({"dataset": DATASET, "train": {"search": {"space": {"gamma": []}}}}, "train.search.space.gamma: .*at least 1"),
        (
            {"dataset": DATASET, "train": {"search": {"space": {"gamma": {"lo": 1}}}}},
            "gamma.lo: unknown .* low, high, log",
        ),
        (
            {"dataset": DATASET, "train": {"search": {"space": {"gamma": {"low": 2, "high": 1}}}}},
            "train.search.space.gamma: `low` must be below",
        ),
        (
            {"dataset": DATASET, "train": {"search": {"space": {"gamma": {"low": 0, "high": 1.5, "log": True}}}}},
            "`log` needs `low` above 0",
        ),
        (
            {"dataset": DATASET, "train": {"search": {"space": {"gamma": {"low": 1, "high": 9, "log": True}}}}},
            "with a decimal point",
        ),
        ({"dataset": DATASET, "train": {"search": {"sampler": "grid"}}}, "search.sampler: .*'tpe' or 'random'"),
        ({"dataset": DATASET, "train": {"search": {"time_budget": 0}}}, "search.time_budget: .*greater than 0"),
        ({"dataset": DATASET, "train": {"search": {"time_budget": float("inf")}}}, "search.time_budget: .*finite"),
        (
            {"dataset": DATASET, "train": {"search": {"max_rounds": 10**30}}},
            "max_rounds: .*less than or equal",
        ),
        ({"dataset": DATASET, "features": {"neighbors": {"k": 0, "by": ["a"]}}}, "features.neighbors.k: "),
        ({"dataset": DATASET, "features": {"neighbors": {"k": 1, "by": ["a", "a"]}}}, "`by` names a column twice"),
        (
            {"dataset": DATASET, "features": {"neighbors": {"n": 1, "k": 1, "by": ["a"]}}},
            "features.neighbors.n: unknown key; known are k, by, means",
        ),
        ({"dataset": DATASET, "register": {"stage": "production"}}, "register.stage: .*'Production'"),
        ({"dataset": DATASET, "register": {"model_name": "a/b"}}, "register.model_name: .*pattern"),
    ],
)
def test_a_mistake_is_named_by_its_key(content: object, named: str) -> None:
    with pytest.raises(ParamsError, match=named):
        check_params(content, "params.yaml")


def test_a_formula_that_is_none_is_named() -> None:
    with pytest.raises(FormulaError, match=r"dataset.derived.z in params.yaml holds"):
        check_params({"dataset": DATASET | {"derived": {"z": "open('x')"}}}, "params.yaml")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"dataset:\n  path: a\n  path: b\n", "key 'path' stands twice"),
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
