"""XGBoost on a GPU. Without one, XGBoost runs the same fits on the CPU, with a warning."""

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from pipeline.learn.boosting import Boosting
from pipeline.learn.devices import device_input
from pipeline.learn.families.xgboost import explain
from pipeline.learn.learner import Problem
from pipeline.learn.search import search
from pipeline.learn.search_params import SearchParams
from pipeline.learn.task import Task

pytestmark = pytest.mark.filterwarnings("ignore:.*(No visible GPU|Device is changed)")

SPACE: Any = {"max_depth": [2, 3], "subsample": [0.5, 1.0]}


@pytest.fixture(scope="module", autouse=True)
def _installed_cupy() -> None:
    """Import CuPy if it is installed, before tests may start no process: its first import runs ldconfig."""
    with suppress(ImportError):
        import_module("cupy")


def make_rows(n_rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(n_rows, 3)), columns=list("abc"), dtype="float32")
    X.iloc[::9, 0] = np.nan
    return X, (X["a"].fillna(0) * X["b"] + X["c"]).to_numpy(np.float64)


def make_learner(device: str, task: Task, X: pd.DataFrame, y: np.ndarray) -> Boosting:
    half = len(X) // 2
    folds = [(X[:half], y[:half], X[half:], y[half:]), (X[half:], y[half:], X[:half], y[:half])]
    params = SearchParams(n_candidates=4, max_rounds=20)
    return Boosting(Problem(task, {}, SPACE, params, 7, 2, StandardScaler().fit(X), folds, device))


def stored_device(model: Any) -> str:
    """Return the device in the configuration of a fitted estimator's booster."""
    return str(json.loads(model.get_booster().save_config())["learner"]["generic_param"]["device"])


@pytest.mark.parametrize("task", [Task(), Task(["no", "yes"]), Task(["a", "b", "c"])], ids=["number", "two", "three"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_model_is_searched_and_fitted_on_a_device_and_left_on_the_cpu(device: str, task: Task) -> None:
    X, target = make_rows(400)
    y = np.digitize(target, [-0.5, 0.5][: task.n_classes - 1]) if task.labels else target
    learner = make_learner(device, task, X, y)
    list(search(learner.problem.search, learner, 1, lambda _: None))
    scores = learner.cross_validate({"max_depth": 3}, 20, choose_round=True)
    model = learner.estimator({"max_depth": 3}, scores.n_rounds, y)
    assert model.device == device
    learner.fit(model, X, y)
    assert (model.device, model.callbacks, stored_device(model)) == ("cpu", None, "cpu")

    predict = model.predict_proba if task.labels else model.predict
    with learner.on_device(model):
        outputs, (values, _, _) = predict(X), explain(model, X, X)
    assert stored_device(model) == "cpu"
    np.testing.assert_allclose(outputs, predict(X), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(values, explain(model, X, X)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
def test_gpu_is_used_until_the_last_round_and_gives_the_same_bytes_again() -> None:
    X, y = make_rows(3000)
    models = []
    for _ in range(2):
        learner = make_learner("cuda", Task(), X, y)
        scores = learner.cross_validate({"subsample": 0.5}, 20, choose_round=False)
        model = learner.estimator({"subsample": 0.5}, 20, y)
        learner.fit(model, X, y)
        with learner.on_device(model):
            assert stored_device(model).startswith("cuda")
        models.append((scores.fold_scores, model.get_booster().save_raw()))
    assert models[0] == models[1]


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Install a module `cupy` whose arrays are of NumPy."""
    module = ModuleType("cupy")
    module.__spec__ = pytest.__spec__
    module.asarray = np.asarray  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


def test_features_keep_their_names_in_an_array_of_cupy(cupy: ModuleType) -> None:
    from xgboost import QuantileDMatrix

    X, _ = make_rows(30)
    assert device_input(X, "cpu") == {"data": X}
    given = device_input(X.astype("float64"), "cuda")
    assert (given["data"].dtype, given["data"].flags.c_contiguous) == (np.float32, True)
    matrix = QuantileDMatrix(**given)
    assert matrix.feature_names == ["a", "b", "c"]
    assert matrix.num_nonmissing() == X.notna().sum().sum()
