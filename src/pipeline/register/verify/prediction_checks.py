"""Check that all forms of a model in an export predict the same for its input example."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.onnx.check import GraphMismatch, check
from pipeline.register.package import ONNX_FILE, outputs_by_name


def prediction_problems(store: Path, export: Path | None) -> list[str]:
    """Load the store's model and its export, and return the problems of their predictions.

    Call this only for files whose hashes have been checked, because loading a pickle runs code.

    Parameters
    ----------
    store : Path
        The files of the logged model.
    export : Path, optional
        The folder with model/ and model.pkl, which must predict exactly the same, and possibly model.onnx, which may
        differ by the tolerance of `pipeline.onnx.check`.

    Returns
    -------
    list of str
        Empty if all predict the same.
    """
    from mlflow.models import Model

    try:
        example = Model.load(str(store)).load_input_example(str(store))
        if not isinstance(example, pd.DataFrame):
            return ["the model has no input example"]
        store_model = RawRowsModel(store)
        expected = store_model.predict(example)
        if export is None:
            numbers = expected.iloc[:, 1:] if isinstance(expected, pd.DataFrame) else expected
            return [] if np.isfinite(np.asarray(numbers)).all() else ["the model predicts values that are not finite"]
        return _export_problems(export, example, store_model, expected)
    except Exception as error:  # a model's packages may raise any error
        return [f"the model cannot be loaded or cannot predict: {type(error).__name__}: {error}"]


def _export_problems(export: Path, example: pd.DataFrame, store_model: RawRowsModel, expected: Any) -> list[str]:
    import joblib
    import mlflow

    problems = []
    pickled = RawRowsModel(export / "model")
    pickled.model = joblib.load(export / "model.pkl")
    if not _are_equal(mlflow.pyfunc.load_model(str(export / "model")).predict(example), expected):
        problems.append("model/ predicts differently from the store's model")
    if not _are_equal(pickled.predict(example), expected):
        problems.append("model.pkl predicts differently from the store's model")
    if (export / ONNX_FILE).exists() and not _graph_matches(export / ONNX_FILE, example, store_model, expected):
        problems.append(f"{ONNX_FILE} predicts differently from the store's model")
    return problems


def _are_equal(predicted: Any, expected: Any) -> bool:
    return type(predicted) is type(expected) and np.array_equal(np.asarray(predicted), np.asarray(expected))


def _graph_matches(graph: Path, example: pd.DataFrame, store_model: RawRowsModel, expected: Any) -> bool:
    import onnx

    try:
        check(onnx.load(str(graph)), store_model.transformer, example, lambda _: outputs_by_name(expected))
    except GraphMismatch:
        return False
    return True
