"""SHAP values add up to the service's predictions, for every model family and both tasks."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipeline.errors import PipelineError
from pipeline.learn.task import Task
from pipeline.service.models.engine import create_engine
from pipeline.service.models.explain import explain, warm_up
from pipeline.service.models.served import ServedModel
from pipeline.service.records import Outputs
from support.families import FAMILY_CASES
from support.served_models import N_EXPLAINED, TASKS, raw_rows, small_model


def test_invalid_onnx_graph_raises_pipeline_error() -> None:
    model, _ = small_model("xgboost", Task(None))
    with pytest.raises(PipelineError, match="the ONNX graph cannot be loaded"):
        create_engine(model.raw, b"not a graph", raw_rows())


def explained_value(explanation: dict[str, Any], label: str | None) -> float:
    """Return the sum of the base value and the SHAP values."""
    base_value, shap_values = explanation["base_value"], explanation["shap_values"]
    if label is not None:
        base_value, shap_values = base_value[label], shap_values[label]
    return float(base_value + sum(shap_values.values()))


def probability(margins: NDArray[np.float64], unit: str) -> NDArray[np.float64]:
    """Return explained values as probabilities."""
    if unit == "probability":
        return margins
    assert unit == "log-odds"
    powers = np.exp(margins)
    return powers / (1 + powers) if margins.ndim == 1 else powers / powers.sum(axis=1, keepdims=True)


def check_additive(model: ServedModel, explanations: list[dict[str, Any]], outputs: Outputs) -> None:
    assert [explanation["prediction"] for explanation in explanations] == pytest.approx(outputs.predictions)
    assert json.loads(json.dumps(explanations, allow_nan=False)) == explanations
    classes = [str(label) for label in model.labels or []]
    for explanation in explanations:
        assert explanation["model_version"] == 3
        shap_values = explanation["shap_values"]
        by_class = [shap_values] if len(classes) <= 2 else list(shap_values.values())
        assert all(list(values) == model.raw.feature_names for values in by_class)
    if not classes:
        assert {(explanation["unit"], explanation["label"]) for explanation in explanations} == {("", None)}
        np.testing.assert_allclose(
            [explained_value(explanation, None) for explanation in explanations], outputs.predictions, rtol=1e-5
        )
        return
    assert outputs.probabilities is not None
    unit = explanations[0]["unit"]
    if len(classes) == 2:
        assert {explanation["label"] for explanation in explanations} == {classes[1]}
        probabilities = probability(
            np.array([explained_value(explanation, None) for explanation in explanations]), unit
        )
        np.testing.assert_allclose(probabilities, np.array(outputs.probabilities)[:, 1], atol=1e-5)
        return
    assert [explanation["label"] for explanation in explanations] == [str(label) for label in outputs.predictions]
    assert list(explanations[0]["base_value"]) == classes
    probabilities = probability(
        np.array([[explained_value(explanation, label) for label in classes] for explanation in explanations]), unit
    )
    np.testing.assert_allclose(probabilities, outputs.probabilities, atol=1e-5)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("name", FAMILY_CASES)
def test_shap_values_add_up_to_the_prediction(name: str, task: Task) -> None:
    model, columns = small_model(name, task)
    warm_up(model)
    explanations, outputs = explain(model, columns, N_EXPLAINED), model.predict(columns, N_EXPLAINED)
    check_additive(model, explanations, outputs)
    values = pd.DataFrame([e["shap_values"] if task.n_classes < 3 else e["shap_values"]["<c>"] for e in explanations])
    assert values.abs().max().max() > 0.001
    assert explain(model, columns, N_EXPLAINED) == explanations
    assert all(None in values for values in columns.values() if values is not columns["rooms"])


def test_without_reference_profile_the_background_is_missing_values() -> None:
    model, columns = small_model("nn", TASKS["three"], with_profile=False)
    explanations = explain(model, columns, N_EXPLAINED)
    check_additive(model, explanations, model.predict(columns, N_EXPLAINED))
    all_missing = model.predict({column: [None] for column in columns}, 1).probabilities
    assert all_missing is not None
    np.testing.assert_allclose(list(explanations[0]["base_value"].values()), all_missing[0], atol=1e-5)
