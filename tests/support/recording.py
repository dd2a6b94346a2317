"""Answers to record, of models of which no more is asked than their columns and labels."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from pipeline.features.transformer import FeatureTransformer
from pipeline.service.answered import Answered, Columns, ModelIdentity, Outputs
from pipeline.service.recording.read import read_predictions

NAME = "small-model"


def served(rows: dict[str, Any], labels: list[Any] | None = None, version: int = 1) -> ModelIdentity:
    """Return a model of these columns."""
    kinds = FeatureTransformer.fit(pd.DataFrame(rows), {}).kinds
    return ModelIdentity(NAME, version, f"run{version}", kinds, labels)


def answer(model: ModelIdentity, ids: Sequence[str], columns: Columns | None = None, **further: Any) -> Answered:
    outputs = Outputs([float(len(one)) for one in ids])
    columns = columns or {name: ["b" if kind == "text" else 1.5] * len(ids) for name, kind in model.kinds.items()}
    known = {"time": time.time(), "arm": "production", "outputs": outputs, "elapsed_ms": 0.25}
    return Answered(**cast(Any, {"ids": list(ids), "model": model, "columns": columns} | known | further))


def ids_in(folder: Path) -> list[str]:
    return cast(list[str], read_predictions(folder, NAME).column("prediction_id").to_pylist())


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
