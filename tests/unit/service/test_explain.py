"""SHAP values of raw rows add up to what the service answers, of every family and both tasks."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.learn.families import names
from pipeline.learn.task import Task
from pipeline.service.answered import Outputs
from pipeline.service.models.engine import engine
from pipeline.service.models.explain import explain, warm
from pipeline.service.models.served import ServedModel
from support.served import N_EXPLAINED, TASKS, raw_rows, served


def test_a_graph_that_cannot_be_loaded_is_told() -> None:
    model, _ = served("xgboost", Task(None))
    with pytest.raises(PipelineError, match="the ONNX graph cannot be loaded"):
        engine(model.raw, b"no graph", raw_rows())


def explained(answer: dict[str, Any], label: str | None) -> float:
    """Return what base value and SHAP values come to."""
    base_value, shap_values = answer["base_value"], answer["shap_values"]
    if label is not None:
        base_value, shap_values = base_value[label], shap_values[label]
    return float(base_value + sum(shap_values.values()))


def probability(margins: NDArray[np.float64], unit: str) -> NDArray[np.float64]:
    if unit == "probability":
        return margins
    assert unit == "log-odds"
    powers = np.exp(margins)
    return powers / (1 + powers) if margins.ndim == 1 else powers / powers.sum(axis=1, keepdims=True)


def check_additive(model: ServedModel, answers: list[dict[str, Any]], outputs: Outputs) -> None:
    assert [answer["prediction"] for answer in answers] == pytest.approx(outputs.predictions)
    assert json.loads(json.dumps(answers, allow_nan=False)) == answers
    labels = [str(label) for label in model.labels or []]
    for answer in answers:
        assert answer["model_version"] == 3
        of_one = [answer["shap_values"]] if len(labels) <= 2 else list(answer["shap_values"].values())
        assert all(list(values) == model.raw.feature_names for values in of_one)
    if not labels:
        assert {(answer["unit"], answer["label"]) for answer in answers} == {("", None)}
        np.testing.assert_allclose([explained(answer, None) for answer in answers], outputs.predictions, rtol=1e-5)
        return
    assert outputs.probabilities is not None
    unit = answers[0]["unit"]
    if len(labels) == 2:
        assert {answer["label"] for answer in answers} == {labels[1]}
        found = probability(np.array([explained(answer, None) for answer in answers]), unit)
        np.testing.assert_allclose(found, np.array(outputs.probabilities)[:, 1], atol=1e-5)
        return
    assert [answer["label"] for answer in answers] == [str(label) for label in outputs.predictions]
    assert list(answers[0]["base_value"]) == labels
    found = probability(np.array([[explained(answer, label) for label in labels] for answer in answers]), unit)
    np.testing.assert_allclose(found, outputs.probabilities, atol=1e-5)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("name", names())
def test_shap_values_add_up_to_what_is_answered(name: str, task: Task) -> None:
    model, columns = served(name, task)
    warm(model)
    answers, outputs = explain(model, columns, N_EXPLAINED), model.predict(columns, N_EXPLAINED)
    check_additive(model, answers, outputs)
    values = pd.DataFrame([a["shap_values"] if task.n_classes < 3 else a["shap_values"]["<c>"] for a in answers])
    assert values.abs().max().max() > 0.001
    assert explain(model, columns, N_EXPLAINED) == answers
    assert all(None in values for values in columns.values() if values is not columns["rooms"])


def test_of_a_model_without_reference_rows_missing_values_stand_for_not_known() -> None:
    model, columns = served("nn", TASKS["three"], with_profile=False)
    answers = explain(model, columns, N_EXPLAINED)
    check_additive(model, answers, model.predict(columns, N_EXPLAINED))
    nothing = model.predict({column: [None] for column in columns}, 1).probabilities
    assert nothing is not None
    np.testing.assert_allclose(list(answers[0]["base_value"].values()), nothing[0], atol=1e-5)
