"""Small models in the form that the service serves."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import NotConvertible
from pipeline.features.kinds.interface import Target
from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.features.transformer import FeatureTransformer
from pipeline.learn.families import BACKGROUND_ROWS
from pipeline.learn.task import Task
from pipeline.onnx.model import to_onnx
from pipeline.service.models.engine import create_engine, to_columns
from pipeline.service.models.served import ServedModel
from pipeline.service.records import Columns
from pipeline.service.requests.schema import RowSchema
from support.families import fit_model

TASKS = {"regression": Task(), "binary": Task([False, True]), "three": Task(["a", "b b", "<c>"])}


N_EXPLAINED = 6


def raw_rows() -> pd.DataFrame:
    """Return 300 raw rows with missing values in every kind of column."""
    rng = np.random.default_rng(5)
    rows = pd.DataFrame(
        {
            "size <m2>": rng.normal(60, 20, 300),
            "rooms": rng.integers(1, 6, 300).astype(float),
            "garden": pd.array(rng.choice([True, False, None], 300), dtype="boolean"),
            "place": rng.choice(["inland", "near [bay]", None], 300),
        }
    )
    rows.loc[rng.random(300) < 0.2, "size <m2>"] = np.nan
    return rows


def small_model(
    name: str, task: Task, with_profile: bool = True, threshold: float | None = None
) -> tuple[ServedModel, Columns]:
    """Return a small model of a family and `N_EXPLAINED` rows that it was not fitted on."""
    rows = raw_rows()
    price = 1000 * rows["size <m2>"].fillna(30) + 20_000 * (rows["place"] == "inland") + 9000 * rows["rooms"]
    y: NDArray[Any] = price.to_numpy()
    if task.labels:
        y = np.digitize(y, np.quantile(y, [0.6] if task.n_classes == 2 else [0.3, 0.8]))
    settings = {
        "derived": {"per room": "`size <m2>` / rooms"},
        "neighbors": {"k": 3, "by": ["rooms"], "means": ["per room"]},
    }
    transformer = FeatureTransformer.fit(rows, settings)
    target = Target(["y"], price.to_numpy())
    transformer = transformer.with_target(transformer.source(rows), target, settings)
    X = transformer.transform(rows)
    raw = RawRowsModel.__new__(RawRowsModel)  # the constructor would load a folder
    raw.transformer, raw.feature_names, raw.labels = transformer, list(X.columns)[::-1], task.labels
    raw.threshold = threshold
    X = X[raw.feature_names]
    raw.model = fit_model(name, task, (X[:200], y[:200], X[200:], y[200:]), 12)
    try:
        graph = to_onnx(transformer, raw.feature_names, raw.model, raw.labels, threshold).SerializeToString()
    except NotConvertible:
        graph = None
    profile = {"background": to_columns(rows[:BACKGROUND_ROWS], transformer)} if with_profile else None
    engine = create_engine(raw, graph, rows[200:230])
    model = ServedModel(
        "small", 3, "r" * 32, "registry", name, raw, engine, RowSchema.from_transformer(transformer), profile
    )
    return model, to_columns(rows[200 : 200 + N_EXPLAINED], transformer)
