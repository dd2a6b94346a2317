"""Whether the forms of one model, which stand side by side in an export, answer its input example alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.features.raw_rows_model import RawRowsModel
from pipeline.onnx.check import GraphDiffers, check
from pipeline.register.package import ONNX_FILE, by_output


def problems_of_answers(store: Path, export: Path | None) -> list[str]:
    """Load the store's model and its export, and compare what they predict.

    Only for files whose hashes have been checked: pickles are code.

    Parameters
    ----------
    store : Path
        The files of the logged model.
    export : Path, optional
        With model/ and model.pkl, which must predict exactly the same, and perhaps model.onnx, which may differ by
        the tolerance of `pipeline.onnx.check`.

    Returns
    -------
    list of str
        What does not hold.
    """
    from mlflow.models import Model

    try:
        example = Model.load(str(store)).load_input_example(str(store))
        if not isinstance(example, pd.DataFrame):
            return ["the model has no input example"]
        of_store = RawRowsModel(store)
        expected = of_store.predict(example)
        if export is None:
            numbers = expected.iloc[:, 1:] if isinstance(expected, pd.DataFrame) else expected
            return [] if np.isfinite(np.asarray(numbers)).all() else ["the model predicts no number"]
        return _of_export(export, example, of_store, expected)
    except Exception as error:  # loading a model raises whatever its packages raise
        return [f"the model cannot be loaded and asked: {type(error).__name__}: {error}"]


def _of_export(export: Path, example: pd.DataFrame, of_store: RawRowsModel, expected: Any) -> list[str]:
    import joblib
    import mlflow

    problems = []
    pickled = RawRowsModel(export / "model")
    pickled.model = joblib.load(export / "model.pkl")
    if not _same(mlflow.pyfunc.load_model(str(export / "model")).predict(example), expected):
        problems.append("model/ predicts otherwise than the store's model")
    if not _same(pickled.predict(example), expected):
        problems.append("model.pkl predicts otherwise than the store's model")
    if (export / ONNX_FILE).exists() and not _graph_answers(export / ONNX_FILE, example, of_store, expected):
        problems.append(f"{ONNX_FILE} predicts otherwise than the store's model")
    return problems


def _same(found: Any, expected: Any) -> bool:
    return type(found) is type(expected) and np.array_equal(np.asarray(found), np.asarray(expected))


def _graph_answers(graph: Path, example: pd.DataFrame, of_store: RawRowsModel, expected: Any) -> bool:
    import onnx

    try:
        check(onnx.load(str(graph)), of_store.transformer, example, lambda _: by_output(expected))
    except GraphDiffers:
        return False
    return True
