import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import ParamsError, PipelineError
from pipeline.learn.task import Task
from pipeline.params.load import check_params
from pipeline.train.custom import custom_metrics, load_function
from pipeline.train.evaluation import Evaluation
from pipeline.train.stage import train
from pipeline.train.tables import Tables, load_tables
from support.evaluation import MARKER_METRIC, prepare_params


def choices(evaluation: Evaluation, metrics: list[dict[str, float]]) -> list[int]:
    """Return the positions of experiments, the best first, in the order of stage model_train."""
    return sorted(range(len(metrics)), key=lambda position: evaluation.sort_key(metrics[position]))


@pytest.fixture
def tables(pipeline_folder: Path) -> Tables:
    return load_tables(pipeline_folder, prepare_params(pipeline_folder, custom="cost:cost"))


def test_the_winner_depends_on_metric_and_direction(tables: Tables, pipeline_folder: Path) -> None:
    def evaluation(**evaluate: object) -> Evaluation:
        content = {"dataset": {"path": "x", "target": "y"}, "evaluate": evaluate}
        return Evaluation.from_params(
            check_params(content, "params.yaml").evaluate, tables.data, tables.rows, pipeline_folder
        )

    (pipeline_folder / "cost.py").write_text("def cost(y_true, y_pred, y_proba, rows): return {'cost': 1.0}")
    metrics = [
        {"cv_log_loss_mean": 0.3, "cv_f1_mean": 0.5, "cv_cost_mean": 7.0},
        {"cv_log_loss_mean": 0.4, "cv_f1_mean": 0.9, "cv_cost_mean": 5.0},
        {"cv_log_loss_mean": 0.5, "cv_f1_mean": 0.7, "cv_cost_mean": 9.0},
    ]
    assert choices(evaluation(), metrics) == [0, 1, 2]
    assert choices(evaluation(choose_by="log_loss"), metrics) == [0, 1, 2]
    assert choices(evaluation(choose_by="f1"), metrics) == [1, 2, 0]
    assert choices(evaluation(choose_by="f1", greater_is_better=False), metrics) == [0, 2, 1]
    assert evaluation(choose_by="f1").chosen_by == "cv_f1_mean"
    assert choices(evaluation(custom="cost:cost", choose_by="cost"), metrics) == [2, 0, 1]
    cheap = evaluation(custom="cost:cost", choose_by="cost", greater_is_better=False)
    assert choices(cheap, metrics) == [1, 0, 2]
    for name in ("rmse", "test_f1", "f1_at_0.4", "cost", "cv_f1_mean"):
        with pytest.raises(PipelineError, match=rf"evaluate.choose_by in params.yaml is '{name}', which no fold has"):
            evaluation(choose_by=name)


def test_thresholds_come_from_params(pipeline_folder: Path) -> None:
    params = prepare_params(pipeline_folder, target="garden", thresholds=[0.25], choose_by="recall_at_0.25")
    tables = load_tables(pipeline_folder, params)
    evaluation = Evaluation.from_params(params.evaluate, tables.data, tables.rows, pipeline_folder)
    small = replace(evaluation, y_search=np.array([0, 1, 1]))
    found = small.score_fold(np.arange(3), np.array([[0.6, 0.4], [0.7, 0.3], [0.9, 0.1]]))
    assert (found["recall"], found["recall_at_0.25"], found["precision_at_0.25"]) == (0, 0.5, 0.5)


@pytest.mark.parametrize(("target", "described"), [("place", "has 3 classes"), ("price", "is a number")])
def test_a_decision_threshold_needs_two_classes(pipeline_folder: Path, target: str, described: str) -> None:
    params = prepare_params(pipeline_folder, target=target, threshold="f1")
    with pytest.raises(PipelineError, match=rf"evaluate.threshold in params.yaml is 'f1', but the target {described}"):
        train(params, pipeline_folder)  # before it would open a store, which does not exist


def test_a_metric_missing_in_some_folds_cannot_choose(tables: Tables, pipeline_folder: Path) -> None:
    content = {"dataset": {"path": "x", "target": "y"}, "evaluate": {"choose_by": "roc_auc"}}
    evaluation = Evaluation.from_params(
        check_params(content, "params.yaml").evaluate, tables.data, tables.rows, pipeline_folder
    )
    with pytest.raises(PipelineError, match=r"'roc_auc', which some folds do not have"):
        evaluation.summarize_folds([{"log_loss": 1.0, "roc_auc": 0.5}, {"log_loss": 1.0}])
    with pytest.raises(PipelineError, match=r"'some' for some folds only"):
        evaluation.summarize_folds([{"log_loss": 1.0, "roc_auc": 0.5}, {"log_loss": 1.0, "roc_auc": 0.5, "some": 1.0}])


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("", r"own.py has no function 'metric'(?s:.*)def metric\(y_true, y_pred, y_proba, rows\)"),
        ("metric = 3", "has no function 'metric'"),
        ("import nothing_like_it", "cannot be imported: ModuleNotFoundError: No module .*nothing_like_it'.*line 1"),
        ("def metric(:", "cannot be imported: SyntaxError"),
        ("x = 1\ny = x / 0", r"cannot be imported: ZeroDivisionError: division by zero \(line 2\)"),
        ("def metric(*_):\n    x = 1\n    raise ValueError('too few')", r"raised ValueError: too few \(line 3\)"),
        ("def metric(y_true): return {'a': 1}", "raised TypeError: .*takes 1 positional argument"),
        ("def metric(*_): return 1.0", "returned 1.0, not a dict with numbers"),
        ("def metric(*_): return {}", "returned {}, not a dict with numbers"),
        ("def metric(*_): return {'a': float('nan')}", "returned nan for 'a'(?s:.*)finite"),
        ("def metric(*_): return {'a': 'high'}", "returned 'high' for 'a'"),
        ("def metric(*_): return {'a b': 1}", "returned the name 'a b'"),
        ("def metric(*_): return {1: 1}", "returned the name 1"),
        ("def metric(*_): return {'..': 1}", r"returned the name '\.\.'"),
        ("def metric(*_): return {'a/b': 1}", "returned the name 'a/b'"),
        ("def metric(*_): return {f'm{i}': 1 for i in range(101)}", "returned 101 numbers"),
        ("def metric(*_): return {'accuracy': 1}", "returned 'accuracy', the name of a built-in metric"),
        ("def metric(*_): return {'test_rmse': 1}", "returned 'test_rmse', the name of a built-in metric"),
        ("def metric(*_): return {'baseline_log_loss': 1}", "the name of a built-in metric"),
        ("def metric(y, *_): return {'a': 1} if len(y) > 50 else {'b': 1}", None),
        ("def metric(*_): return {'a': 1} if _[3].index[0] else {'b': 1}", "for some folds only"),
    ],
)
def test_an_invalid_custom_metric_is_refused_before_training(
    pipeline_folder: Path, code: str, message: str | None
) -> None:
    Path("own.py").write_text(code)
    params = prepare_params(pipeline_folder, custom="own:metric")
    tables = load_tables(pipeline_folder, params)
    if message is None:
        assert Evaluation.from_params(params.evaluate, tables.data, tables.rows, pipeline_folder).custom is not None
        return
    with pytest.raises(PipelineError, match=message):
        train(params, pipeline_folder)  # before it would open a store, which does not exist


def test_a_missing_module_or_a_taken_name_is_an_error(pipeline_folder: Path) -> None:
    with pytest.raises(PipelineError, match=r"is 'own.deep:metric', but there is no own/deep.py in .*(?s:.*)write own"):
        load_function("own.deep:metric", pipeline_folder)
    Path("json.py").write_text("def metric(*_): return {'a': 1}")
    with pytest.raises(PipelineError, match=r"the name 'json' is taken by .*json/__init__.py(?s:.*)rename .*json.py"):
        load_function("json:metric", pipeline_folder)
    with pytest.raises(ParamsError, match=r"evaluate.custom"):
        check_params({"dataset": {"path": "x", "target": "y"}, "evaluate": {"custom": "own.metric"}}, "params.yaml")


@pytest.mark.parametrize(
    "name", ["os", "this", "antigravity", "yaml", "numpy.core", "json.tool", "sys", "__main__", "_abc"]
)
def test_the_name_of_an_installed_module_is_refused_without_an_import(tmp_path: Path, name: str) -> None:
    with pytest.raises(PipelineError, match=rf"is '{name}:system', but there is no "):
        load_function(f"{name}:system", tmp_path)
    file = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
    file.parent.mkdir(exist_ok=True)
    file.write_text(MARKER_METRIC.format(str(tmp_path / "imported")))
    before = set(sys.modules)
    with pytest.raises(PipelineError, match=rf"the name '{name}' is taken by (?s:.*)rename .*{file.name}"):
        load_function(f"{name}:metric", tmp_path)
    assert set(sys.modules) == before
    assert not (tmp_path / "imported").exists()


def test_a_metric_is_searched_for_inside_the_repository_only(
    tmp_path: Path,
) -> None:
    (tmp_path / "outside.py").write_text(MARKER_METRIC.format(str(tmp_path / "imported")))
    folder = tmp_path / "repository" / "inner"
    folder.mkdir(parents=True)
    with pytest.raises(PipelineError, match=r"there is no outside.py in .*/inner\n"):  # no repository: the folder alone
        load_function("outside:metric", folder)
    (tmp_path / "repository" / ".git").touch()  # as in a worktree
    with pytest.raises(PipelineError, match=r"there is no outside.py in .*/inner or above, up to .*/repository\n"):
        load_function("outside:metric", folder)
    (folder / "linked.py").symlink_to("../../outside.py")
    (folder / "links").symlink_to(tmp_path)
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").symlink_to(tmp_path / "outside.py")
    (folder / "package" / "own.py").write_text("def metric(*_): return {'a': 1}")
    for name in ("linked", "links.outside", "package.own"):
        with pytest.raises(PipelineError, match=r"is a link to .*/outside.py, outside .*/repository"):
            load_function(f"{name}:metric", folder)
    assert not (tmp_path / "imported").exists()
    (tmp_path / "repository" / "kept.py").write_text("def metric(*_): return {'a': 2}")
    (folder / "within.py").symlink_to("../kept.py")
    assert load_function("within:metric", folder)() == {"a": 2}


def test_a_metric_above_the_pipeline_folder_can_import_modules_beside_it(pipeline_folder: Path) -> None:
    Path(".git").mkdir()  # the root of the search
    Path("above_costs.py").write_text("FACTOR = 3\n")
    Path("above.py").write_text("import above_costs\ndef metric(*_): return {'a': above_costs.FACTOR}")
    inner = pipeline_folder / "examples" / "mine"
    inner.mkdir(parents=True)
    before = list(sys.path)
    function = load_function("above:metric", inner)
    assert sys.path == before
    assert function(None, None, None, None) == {"a": 3}


@pytest.mark.parametrize("labels", [["no", "yes", "007"], [1, 5, 7], [False, True]])
def test_a_metric_gets_labels_probabilities_and_rows(labels: list[str | int | bool]) -> None:
    arguments = {}

    def metric(y_true, y_pred, y_proba, rows):  # type: ignore[no-untyped-def]
        arguments.update(y_true=y_true, y_pred=y_pred, y_proba=y_proba)
        rows["x"] = 0  # a copy
        return {"share": np.float32(0.5), "count": np.int64(3), "flag": True}

    rows = pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=[10, 20, 40])
    outputs = np.eye(len(labels))[[0, 1, 1]] * 0.8 + 0.1
    y_true = np.array([0, 1, 0])
    found = custom_metrics(metric, Task(labels), y_true, outputs, rows)
    assert found == {"share": 0.5, "count": 3.0, "flag": 1.0}
    assert {type(value) for value in found.values()} == {float}
    expected = pd.Series(labels)
    assert list(arguments["y_true"]) == [labels[0], labels[1], labels[0]]
    assert list(arguments["y_pred"]) == [labels[0], labels[1], labels[1]]
    assert arguments["y_true"].dtype == arguments["y_pred"].dtype == expected.dtype
    assert list(arguments["y_proba"].columns) == labels
    np.testing.assert_array_equal(arguments["y_proba"], outputs)
    assert all(list(value.index) == [10, 20, 40] for value in arguments.values())
    assert list(rows["x"]) == [1, 2, 3]


def test_a_metric_gets_the_labels_at_the_threshold() -> None:
    def metric(y_true, y_pred, y_proba, rows):  # type: ignore[no-untyped-def]
        return {"called": (y_pred == "yes").sum()}

    outputs = np.array([[0.8, 0.2], [0.9, 0.1], [0.3, 0.7]])
    arguments = (metric, Task(["no", "yes"]), np.array([0, 1, 0]), outputs, pd.DataFrame(index=range(3)))
    assert custom_metrics(*arguments) == {"called": 1}
    assert custom_metrics(*arguments, threshold=0.2) == {"called": 2}


def test_a_regression_metric_gets_no_probabilities(pipeline_folder: Path) -> None:
    Path("own.py").write_text(
        "def metric(y_true, y_pred, y_proba, rows):\n"
        "    assert y_proba is None and y_true.dtype == y_pred.dtype == 'float64'\n"
        "    assert (rows['price'] == y_true).all() and list(rows['place'].unique())\n"
        "    return {'overestimated': (y_pred > y_true).mean()}\n"
    )
    params = prepare_params(pipeline_folder, target="price", custom="own:metric")
    tables = load_tables(pipeline_folder, params)
    evaluation = Evaluation.from_params(params.evaluate, tables.data, tables.rows, pipeline_folder)
    found = evaluation.score_test(tables.data.y_test + 1)
    assert (found["overestimated"], found["test_mae"]) == (1.0, 1.0)
