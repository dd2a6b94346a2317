from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from pipeline.errors import ParamsError, PipelineError
from pipeline.learn.task import Task
from pipeline.params.load import check_params
from pipeline.params.schema import Params
from pipeline.prepare.stage import prepare
from pipeline.train.tables import load_tables


def prepared(folder: Path, target: list[object], **dataset: object) -> Params:
    """Write a CSV file with two inputs and a target, prepare it and return its parameters."""
    text = "\n".join(["x,z,y", *(f"{number},{number % 7},{value}" for number, value in enumerate(target))])
    (folder / "data.csv").write_text(text + "\n")
    dataset = {"path": "data.csv", "target": "y", "task": "classification", **dataset}
    params = Params.model_validate({"dataset": dataset, "train": {"cv_folds": 2}})
    prepare(params.dataset, folder)
    return params


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["no", "yes"], ["no", "yes"]),
        (["True", "False"], [False, True]),
        (["10", "9", "-1", "0"], [-1, 0, 9, 10]),
        (["007", "7"], ["007", "7"]),
        (["1", "x"], ["1", "x"]),
        (["-0", "1"], ["-0", "1"]),
        (["--1", "1"], ["--1", "1"]),
        (["١", "2"], ["2", "١"]),
        (["1.5", "2"], ["1.5", "2"]),
        (["9" * 30, "1"], ["1", "9" * 30]),
    ],
)
def test_labels_have_the_type_of_the_target(texts: list[str], labels: list[object]) -> None:
    task = Task.from_target(pd.Series(texts), "classification")
    assert task.labels == labels
    assert [type(label) for label in task.labels] == [type(label) for label in labels]
    assert (task.n_classes, task.loss, task.texts) == (len(labels), "log_loss", [str(label) for label in labels])
    classes = task.encode(pd.Series(texts))
    assert sorted(classes) == list(range(len(labels)))
    assert [str(label) for label in task.decode(classes)] == texts


def test_a_regression_has_no_labels_and_keeps_the_target_values() -> None:
    target = pd.Series([1.5, -2.0])
    task = Task.from_target(target, "regression")
    assert (task.labels, task.n_classes, task.loss, task.texts) == (None, 0, "rmse", [])
    encoded = task.encode(target)
    np.testing.assert_array_equal(encoded, [1.5, -2.0])
    encoded[0] = 0
    assert target[0] == 1.5
    assert task.score(task.losses(np.array([1.0, 2.0]), np.array([4.0, 6.0]))) == pytest.approx(np.sqrt(12.5))


def test_the_loss_of_a_classification_is_the_log_loss() -> None:
    y = np.array([0, 2, 1, 2])
    proba = np.array([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2]])
    task = Task(["a", "b", "c"])
    assert task.score(task.losses(y, proba)) == pytest.approx(log_loss(y, proba))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["True", "False"], [False, True]),
        (["true", "false"], [False, True]),
        (["3", "1", "2"], [1, 2, 3]),
        (["b c", "a"], ["a", "b c"]),
    ],
)
def test_labels_of_a_file_reach_training_unchanged(tmp_path: Path, values: list[object], labels: list[object]) -> None:
    params = prepared(tmp_path, values * 10, split={"strategy": "stratified"})
    tables = load_tables(tmp_path, params).data
    assert tables.task.labels == labels
    assert set(tables.y_train) == set(tables.y_test) == set(range(len(labels)))
    stored = pd.read_parquet(tmp_path / "data/processed/train.parquet")["y"]
    assert list(map(str, tables.task.decode(tables.y_train))) == list(stored)


def test_a_categorical_target_keeps_leading_zeros(tmp_path: Path) -> None:
    params = prepared(tmp_path, ["01", "02", "10"] * 8, split={"strategy": "stratified"}, categorical=["y"])
    tables = load_tables(tmp_path, params).data
    assert tables.task.labels == ["01", "02", "10"]
    assert list(tables.X_train.columns) == ["x", "z"]


def test_whole_numbers_with_missing_values_are_int_labels(tmp_path: Path) -> None:
    params = prepared(tmp_path, [0, 1, "", 1, 0] * 8, split={"strategy": "stratified"})
    assert load_tables(tmp_path, params).data.task.labels == [0, 1]


def test_a_class_only_in_test_rows_is_rejected(tmp_path: Path) -> None:
    params = prepared(tmp_path, ["a", "b"] * 12 + ["new"] * 6, split={"strategy": "time", "column": "x"})
    with pytest.raises(PipelineError, match=r"'y' is 'new' in test rows but in no training row(?s:.*)stratified"):
        load_tables(tmp_path, params)


def test_a_target_with_one_class_is_rejected(tmp_path: Path) -> None:
    params = prepared(tmp_path, ["same"] * 20)
    with pytest.raises(PipelineError, match=r"'y' has only one class in the training rows, 'same'"):
        load_tables(tmp_path, params)


def test_a_class_without_test_rows_is_accepted(tmp_path: Path) -> None:
    params = prepared(tmp_path, ["a"] * 15 + ["b"] * 9 + ["a"] * 6, split={"strategy": "time", "column": "x"})
    tables = load_tables(tmp_path, params).data
    assert (set(tables.y_train), set(tables.y_test)) == ({0, 1}, {0})


def test_the_positive_class_can_be_chosen() -> None:
    target = pd.Series(["gone", "stayed", "gone"])
    assert Task.from_target(target, "classification").labels == ["gone", "stayed"]
    task = Task.from_target(target, "classification", "gone")
    assert task.labels == ["stayed", "gone"]
    assert list(task.encode(target)) == [1, 0, 1]
    assert Task.from_target(pd.Series(["1", "2"]), "classification", 1).labels == [2, 1]
    assert Task.from_target(pd.Series(["False", "True"]), "classification", False).labels == [True, False]


def test_a_positive_class_must_be_one_of_two_classes(pipeline_folder: Path) -> None:
    for target, positive in (("garden", "perhaps"), ("place", "INLAND")):
        dataset = {"path": "data.csv", "target": target, "task": "classification", "positive": positive}
        params = Params.model_validate({"dataset": dataset})
        prepare(params.dataset, pipeline_folder)
        with pytest.raises(PipelineError, match=f"dataset.positive in params.yaml is '{positive}'"):
            load_tables(pipeline_folder, params)
    with pytest.raises(ParamsError, match="a regression has no classes"):
        check_params({"dataset": {"path": "data.csv", "target": "price", "positive": "yes"}}, "params.yaml")


def test_the_sample_for_the_search_is_stratified_by_class(pipeline_folder: Path) -> None:
    target = ["rare" if number % 40 == 0 else "usual" for number in range(600)]
    params = prepared(pipeline_folder, list(target), split={"strategy": "stratified"})
    search = params.train.search.model_copy(update={"max_rows": 200})
    params = params.model_copy(update={"train": params.train.model_copy(update={"search": search})})
    tables = load_tables(pipeline_folder, params).data
    assert tables.n_search_rows == 200
    assert (tables.y_search == 0).sum() == 5
