"""The common ONNX converters, an independent implementation, give nearly the same predictions."""

import numpy as np
import onnxruntime
import pandas as pd
from onnx import ModelProto
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as XGBoostInput
from skl2onnx import to_onnx as convert_sklearn
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from xgboost import XGBClassifier

from pipeline.features.transformer import FeatureTransformer
from pipeline.onnx.model import to_onnx

NAMES = [f"f{index}" for index in range(64)]


def digits() -> tuple[pd.DataFrame, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return pd.DataFrame(X, columns=NAMES), y


def probabilities(graph: ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    output: np.ndarray = session.run(None, feed)[1]
    return output


def test_common_converters_mostly_agree() -> None:
    table, y = digits()
    transformer = FeatureTransformer.fit(table, {})
    X = transformer.transform(table)
    matrix = X.to_numpy(np.float32)
    raw = {name: table[[name]].to_numpy(np.float64) for name in NAMES}
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    boosted = XGBClassifier(n_estimators=10, max_depth=4).fit(X, y)
    converted = {
        "forest": convert_sklearn(forest, matrix[:1], options={"zipmap": False}),
        "boosted": convert_xgboost(boosted, initial_types=[("X", XGBoostInput([None, 64]))]),
    }
    for name, model in {"forest": forest, "boosted": boosted}.items():
        expected = model.predict_proba(X)
        actual = probabilities(to_onnx(transformer, NAMES, model, list(range(10))), raw)
        (input_name,) = [entry.name for entry in converted[name].graph.input]
        reference = probabilities(converted[name], {input_name: matrix})
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
        assert (reference.argmax(axis=1) == actual.argmax(axis=1)).mean() > 0.99
        assert np.abs(reference - expected).mean() < 0.01
