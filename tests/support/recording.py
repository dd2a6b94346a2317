"""Predictions to record, from models that have columns and classes but no estimator."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from pipeline.features.transformer import FeatureTransformer
from pipeline.service.recording.read import read_predictions
from pipeline.service.records import Columns, ModelIdentity, Outputs, PredictionRecord

NAME = "small-model"


def model_identity(rows: dict[str, Any], labels: list[Any] | None = None, version: int = 1) -> ModelIdentity:
    """Return the identity of a model with these columns."""
    kinds = FeatureTransformer.fit(pd.DataFrame(rows), {}).kinds
    return ModelIdentity(NAME, version, f"run{version}", kinds, labels)


def predicted_request(
    model: ModelIdentity, ids: Sequence[str], columns: Columns | None = None, **changes: Any
) -> PredictionRecord:
    """Return a request with its predictions; `changes` replaces fields."""
    outputs = Outputs([float(len(prediction_id)) for prediction_id in ids])
    columns = columns or {name: ["b" if kind == "text" else 1.5] * len(ids) for name, kind in model.kinds.items()}
    defaults = {"time": time.time(), "arm": "production", "outputs": outputs, "elapsed_ms": 0.25}
    return PredictionRecord(**cast(Any, {"ids": list(ids), "model": model, "columns": columns} | defaults | changes))


def recorded_ids(folder: Path) -> list[str]:
    """Return the prediction IDs recorded in a folder."""
    return cast(list[str], read_predictions(folder, NAME).column("prediction_id").to_pylist())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
