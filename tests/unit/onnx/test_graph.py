"""The ONNX graph of every model family gives the model's predictions, on rows outside the training set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier, XGBRegressor

from pipeline.errors import NotConvertible
from pipeline.features.decision import predicted_classes
from pipeline.features.kinds import neighbors
from pipeline.features.kinds.interface import Target
from pipeline.features.transformer import FeatureTransformer
from pipeline.onnx.check import GraphMismatch, OutputArrays, check
from pipeline.onnx.features import add_features, input_feed, inputs
from pipeline.onnx.graph import Graph, value_info
from pipeline.onnx.model import to_onnx
from pipeline.onnx.session import open_session, run
from support.effort import times

FORMULAS = {
    "ratio": "`size <m2>` / (b - 1.5) + -`size <m2>` * +2",
    "power": "b ** 2 - abs_b ** 0.5 + 2 ** (0 - c)",
    "waves": "sin(b) + cos(`size <m2>`)",
    "roots": "log1p(b) - sqrt(abs_b) + log1p(small)",
    "square": "abs_b * abs_b",
    "yes": "c / 2 + 1",
}
EXTREMES = [0.0, -0.0, -1.0, 1.5, 1e-30, -1e-9, 1e19, -1e20, 3e38]


def raw_rows(n: int, seed: int, extremes: bool = False) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "size <m2>": rng.normal(size=n).round(1),  # rounded: neighbors at equal distances
            "b": rng.normal(3, 2, n),
            "prediction": rng.integers(0, 5, n).astype(float),
            "abs_b": np.exp(rng.normal(size=n) * 3),
            "small": rng.normal(size=n) * 1e-12,
            "c": rng.random(n) < 0.5,
            'größe "x"': rng.choice(["1", "2.0", "x", "ü €", "Add_3"], n),
            "Add_3": rng.choice(["no", "yes"], n),
        }
    )
    numbers = ["size <m2>", "b", "prediction", "abs_b"]
    if extremes:
        extreme_values = rng.choice(EXTREMES, (n, len(numbers)))
        rows[numbers] = rows[numbers].mask(rng.random((n, len(numbers))) < 0.05, extreme_values)
        rows['größe "x"'] = rng.choice(["1.0", "2", "2.0.0", "1", "x", "X", "new", ".0"], n)
    rows[numbers] = rows[numbers].mask(rng.random((n, len(numbers))) < 0.1)
    rows.loc[rng.random(n) < 0.2, 'größe "x"'] = None
    return rows


def fitted_transformer(rows: pd.DataFrame, y: np.ndarray) -> FeatureTransformer:
    settings = {"derived": FORMULAS, "neighbors": {"k": 4, "by": ["size <m2>", "prediction"], "means": ["b", "ratio"]}}
    transformer = FeatureTransformer.fit(rows, settings)
    return transformer.with_target(transformer.source(rows), Target(["y"], y), settings)


def perceptron(mlp: Any, X: pd.DataFrame) -> Pipeline:
    scale = FrozenEstimator(StandardScaler().fit(X))
    fill = SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True)
    return Pipeline([("scale", scale), ("impute", fill), ("mlp", mlp)])


def forest(kind: Any) -> Callable[[pd.DataFrame], Any]:
    options = {"class_weight": "balanced"} if kind is RandomForestClassifier else {}
    return lambda X: kind(n_estimators=25, max_depth=20, random_state=0, **options)


MLP = {"hidden_layer_sizes": (16, 8), "learning_rate_init": 0.02, "max_iter": 400, "tol": 1e-2, "random_state": 0}
REGRESSORS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "xgboost": lambda X: XGBRegressor(n_jobs=1, n_estimators=40, max_depth=5),
    "xgboost with single leaves": lambda X: XGBRegressor(n_jobs=1, n_estimators=3, gamma=1e9),
    "xgboost with absolute error": lambda X: XGBRegressor(n_jobs=1, n_estimators=5, objective="reg:absoluteerror"),
    "xgboost with gamma": lambda X: XGBRegressor(n_jobs=1, n_estimators=40, objective="reg:gamma"),
    "xgboost with tweedie": lambda X: XGBRegressor(n_jobs=1, n_estimators=40, objective="reg:tweedie", base_score=3.0),
    "forest": forest(RandomForestRegressor),
    "perceptron": lambda X: TransformedTargetRegressor(
        perceptron(MLPRegressor(**MLP), X), transformer=StandardScaler()
    ),
}
CLASSIFIERS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "xgboost": lambda X: XGBClassifier(n_jobs=1, n_estimators=20, max_depth=4),
    "forest": forest(RandomForestClassifier),
    "perceptron": lambda X: perceptron(MLPClassifier(**MLP), X),
    "perceptron with tanh": lambda X: perceptron(MLPClassifier(activation="tanh", **MLP), X),
    "perceptron with logistic": lambda X: perceptron(MLPClassifier(activation="logistic", **MLP), X),
}


def predictor(
    transformer: FeatureTransformer, features: list[str], model: Any, labels: Any
) -> Callable[[pd.DataFrame], OutputArrays]:
    def predict(rows: pd.DataFrame) -> OutputArrays:
        X = transformer.transform(rows, only=features)
        if labels is None:
            return {"prediction": model.predict(X)}
        names = np.array(labels, dtype=object if isinstance(labels[0], str) else None)
        return {"prediction": names[model.predict(X)], "probabilities": model.predict_proba(X)}

    return predict


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, np.ndarray, FeatureTransformer, pd.DataFrame]:
    rows = raw_rows(400, 0)
    noise = np.random.default_rng(1).normal(size=400)
    y = 1000 * (rows["b"].fillna(0) + rows["c"] + (rows["Add_3"] == "yes") + noise).to_numpy()
    transformer = fitted_transformer(rows, y)
    return rows, y, transformer, transformer.transform(rows)


def test_features_match_the_transformer(table: Any) -> None:
    _, _, transformer, _ = table
    rows = raw_rows(5000, 2, extremes=True)
    for features in (transformer.feature_names, transformer.feature_names[::-3], ["neighbors_y", "yes"]):
        graph_inputs = inputs(transformer)
        graph = Graph([graph_input.name for graph_input in graph_inputs])
        graph.node("Identity", add_features(graph, transformer, features), into="features")
        session = open_session(
            graph.model(graph_inputs, [value_info("features", "FLOAT", [None, len(features)])]).SerializeToString()
        )
        actual = run(session, input_feed(rows, transformer))["features"]
        expected = transformer.transform(rows, only=features)
        np.testing.assert_allclose(actual, expected, rtol=2e-7, atol=0)
        assert ((actual == expected) | expected.isna()).to_numpy().mean() > 0.9999
        assert not expected.isna().all().any()
    assert graph_inputs[2].name == "prediction_"


@pytest.mark.parametrize("name", REGRESSORS)
def test_regression_matches_the_model(name: str, table: Any) -> None:
    _, y, transformer, X = table
    model = REGRESSORS[name](X)
    model.fit(X, np.abs(y) + 1 if "gamma" in name or "tweedie" in name else y)
    check_same(transformer, transformer.feature_names, model, None)


@pytest.mark.parametrize("labels", [["no", "yes"], [False, True], ["a", "b", "ü"], [3, 5, 10]], ids=str)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classification_matches_the_model(name: str, labels: list[Any], table: Any) -> None:
    _, y, transformer, X = table
    classes = np.digitize(y, np.quantile(y, np.arange(1, len(labels)) / (len(labels) + 1)))
    features = transformer.feature_names[::-1][:-2]
    model = CLASSIFIERS[name](X[features])
    model.fit(X[features], classes)
    check_same(transformer, features, model, labels)


def check_same(transformer: FeatureTransformer, features: list[str], model: Any, labels: Any) -> None:
    graph = to_onnx(transformer, features, model, labels)
    assert graph.SerializeToString() == to_onnx(transformer, features, model, labels).SerializeToString()
    predict = predictor(transformer, features, model, labels)
    n_rows = times(3000, 1000)
    rows = raw_rows(n_rows, 3, extremes=not isinstance(model, Pipeline | TransformedTargetRegressor))
    timing = check(graph, transformer, rows, predict)
    assert timing.n_rows == n_rows
    assert min(timing.row_ms, timing.rows_ms, timing.original_row_ms, timing.original_rows_ms) > 0
    assert {output.name: output.type for output in open_session(graph.SerializeToString()).get_outputs()} == (
        {"prediction": "tensor(double)"}
        if labels is None
        else {
            "prediction": {str: "tensor(string)", int: "tensor(int64)", bool: "tensor(bool)"}[type(labels[0])],
            "probabilities": "tensor(double)",
        }
    )
    if labels is None:
        assert len(np.unique(predict(rows)["prediction"])) > 10 or model.get_params().get("gamma")
    else:
        assert set(predict(rows)["prediction"]) == set(labels)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_labels_follow_the_threshold(name: str, table: Any) -> None:
    _, y, transformer, X = table
    model = CLASSIFIERS[name](X)
    model.fit(X, (y > np.quantile(y, 0.8)).astype(int))
    rows, labels = raw_rows(500, 3), np.array(["no", "yes"], dtype=object)
    probabilities = model.predict_proba(transformer.transform(rows))
    exact = np.quantile(probabilities[:, 1], 0.3, method="lower")  # that of a row, which a perceptron's graph rounds
    for threshold in (0.1, float(exact) - 1e-4 * ("perceptron" in name)):
        expected = labels[predicted_classes(probabilities, threshold)]
        graph = to_onnx(transformer, transformer.feature_names, model, list(labels), threshold)
        check(graph, transformer, rows, lambda _: {"prediction": expected, "probabilities": probabilities})  # noqa: B023
        assert (expected == "yes").mean() > (probabilities[:, 1] > 0.5).mean()


def test_check_reports_the_first_row_that_differs(table: Any) -> None:
    _, y, transformer, X = table
    features = ["b"]
    model = XGBRegressor(n_jobs=1, n_estimators=1, max_depth=1).fit(X[features], y)
    graph = to_onnx(transformer, features, model, None)
    trees = next(node for node in graph.graph.node if node.op_type == "TreeEnsemble")
    splits = next(attribute.t for attribute in trees.attribute if attribute.name == "nodes_splits")
    changed = onnx.numpy_helper.to_array(splits).copy()
    changed[-1] += 0.5
    rows = raw_rows(50, 4)
    predict = predictor(transformer, features, model, None)
    check(graph, transformer, rows, predict)
    splits.CopyFrom(onnx.numpy_helper.from_array(changed))
    first = int(np.argmax((rows["b"] >= changed[-1] - 0.5) & (rows["b"] < changed[-1])))
    value = predict(rows)["prediction"][first]
    with pytest.raises(GraphMismatch, match=rf"row {first + 1}: prediction .* from the graph, {value} from the model"):
        check(graph, transformer, rows, predict)

    classifier = XGBClassifier(n_jobs=1, n_estimators=1).fit(X[features], (y > 0).astype(int))
    graph = to_onnx(transformer, features, classifier, ["no", "yes"])
    swapped = predictor(transformer, features, classifier, ["yes", "no"])
    with pytest.raises(GraphMismatch, match=r"row 1: prediction '(no|yes)' from the graph, '(no|yes)' from the model"):
        check(graph, transformer, rows, swapped)


def test_neighbors_without_any_location_are_missing() -> None:
    rows = pd.DataFrame({"a": [np.nan, np.nan, 1.0], "b": [1.0, 2.0, 3.0]})
    transformer = FeatureTransformer.fit(rows, {})
    settings = {"neighbors": {"k": 2, "by": ["a"], "means": []}}
    model = XGBRegressor(n_jobs=1, n_estimators=1).fit(rows, [1.0, 2.0, 3.0])
    for known in ([0, 1], [0, 1, 2]):
        source, target = transformer.source(rows.iloc[known]), Target(["y"], np.array([1.0, 2, 3])[known])
        with_neighbors = transformer.with_target(source, target, settings)
        model.fit(with_neighbors.transform(rows), [1.0, 2.0, 3.0])
        graph = to_onnx(with_neighbors, with_neighbors.feature_names, model, None)
        check(graph, with_neighbors, rows, predictor(with_neighbors, with_neighbors.feature_names, model, None))


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
@pytest.mark.parametrize("keep", [False, True])
def test_a_feature_always_missing_in_training_is_handled_like_the_imputer(keep: bool, table: Any) -> None:
    rows, y, _, _ = table
    rows = rows[["b", "c"]].assign(b=np.nan)
    transformer = FeatureTransformer.fit(rows, {})
    X = transformer.transform(rows)
    scale = StandardScaler().set_params(with_mean=False, with_std=False).fit(X)
    fill = SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=keep)
    model = Pipeline([("scale", scale), ("impute", fill), ("mlp", MLPRegressor(**MLP))]).fit(X, y / 1000)
    check(
        to_onnx(transformer, ["b", "c"], model, None),
        transformer,
        rows,
        predictor(transformer, ["b", "c"], model, None),
    )


def test_unsupported_models_are_rejected_with_the_reason(monkeypatch: pytest.MonkeyPatch, table: Any) -> None:
    rows, y, transformer, X = table
    names = transformer.feature_names

    def check_rejected(
        reason: str, model: Any, labels: Any = None, transformer: Any = transformer, names: Any = names
    ) -> None:
        with pytest.raises(NotConvertible, match=reason):
            to_onnx(transformer, names, model, labels)

    check_rejected("LinearRegression has no counterpart", LinearRegression())
    counts = np.abs(y).round()
    check_rejected("count:poisson", XGBRegressor(n_jobs=1, n_estimators=1, objective="count:poisson").fit(X, counts))
    check_rejected("'dart'", XGBRegressor(n_jobs=1, n_estimators=1, booster="dart").fit(X, y))
    check_rejected(
        "must all be text, all whole numbers or all booleans",
        XGBClassifier(n_jobs=1, n_estimators=1).fit(X, y > 0),
        ["a", 1],
    )
    with_categories = X[["b"]].assign(c=pd.Categorical(rows["Add_3"]))
    check_rejected(
        "categorical splits", XGBRegressor(n_jobs=1, n_estimators=1, enable_categorical=True).fit(with_categories, y)
    )

    empty = FeatureTransformer.fit(pd.DataFrame({"t": ["", "x"]}), {})
    check_rejected("the empty text is a category of column 't'", None, transformer=empty, names=empty.feature_names)
    curves = FeatureTransformer.fit(
        pd.DataFrame(np.zeros((2, 9)), columns=[f"FLUX.{i}" for i in range(9)]), {"flux": True}
    )
    check_rejected("features of light curves", None, transformer=curves, names=curves.feature_names)
    monkeypatch.setattr(neighbors, "MAX_POINTS", 10)
    check_rejected("which is too slow beyond 10", None)
    monkeypatch.setattr("pipeline.onnx.graph.MAX_BYTES", 1000)
    model = RandomForestRegressor(n_estimators=3).fit(X, y)
    check_rejected("as ONNX, whose limit is", model, names=["b"])
