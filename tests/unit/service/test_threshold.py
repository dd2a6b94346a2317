"""A served model's labels follow its threshold, in the model, its graph, responses and statistics."""

import json

import numpy as np
import pytest

from pipeline.learn.families import names
from pipeline.service.models.engine import MAX_GRAPH_ROWS
from pipeline.service.records import PredictionRecord
from pipeline.service.requests.responses import render
from pipeline.service.tracking.statistics import Statistics
from support.served_models import N_EXPLAINED, TASKS, small_model

LOW = 0.05


@pytest.mark.parametrize("name", names())
def test_labels_and_confidences_follow_the_threshold(name: str) -> None:
    model, columns = small_model(name, TASKS["binary"], threshold=LOW)
    default, _ = small_model(name, TASKS["binary"])
    assert N_EXPLAINED <= MAX_GRAPH_ROWS
    assert (model.engine.session is None) == (name == "lightgbm")  # which has no graph
    outputs = model.predict(columns, N_EXPLAINED)
    before = default.predict(columns, N_EXPLAINED)
    assert outputs.probabilities == before.probabilities
    positive = np.array(outputs.probabilities)[:, 1]
    negative_label, positive_label = model.labels or []
    assert outputs.predictions == [positive_label if value >= LOW else negative_label for value in positive]
    assert outputs.predictions != before.predictions
    assert model.engine.predict_with_model(columns).predictions == outputs.predictions

    expected = [100 * (value if value >= LOW else 1 - value) for value in positive]
    assert outputs.confidences == pytest.approx(expected, rel=1e-5)
    assert min(expected) < 50
    ids = [str(number) for number in range(N_EXPLAINED)]
    body, _ = render("", model.identity, outputs, ids, single=False)
    assert [row["confidence"] for row in json.loads(body)] == outputs.confidences
    statistics = Statistics(recent=100, min_confidence=60)
    statistics.add([PredictionRecord(0.0, ids, "production", model.identity, columns, outputs, 1.0)])
    assert statistics.point(False)["recent_avg_confidence"] == pytest.approx(np.mean(expected), rel=1e-5)
