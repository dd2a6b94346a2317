"""Neural networks: scikit-learn's multi-layer perceptron on scaled inputs, with missing values set to the mean."""

from collections.abc import Iterator, Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.features.model_files import PICKLE
from pipeline.learn.candidate import Sampled
from pipeline.learn.estimators import Estimators, Outputs, Recipe
from pipeline.learn.families import BACKGROUND_ROWS, Family, Importance
from pipeline.learn.learner import FoldTables, Problem
from pipeline.learn.metrics import per_row_log_loss, rmse
from pipeline.learn.space import Parameter, Range

if TYPE_CHECKING:
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

SAMPLES = 300  # feature subsets evaluated per row by Kernel SHAP
# Permutation importance uses this many values in total (rows times features), within these bounds on the rows.
PERMUTED_VALUES, MIN_PERMUTED_ROWS, MAX_PERMUTED_ROWS = 100_000, 200, 1000
# Inputs are clipped to this many standard deviations from the mean; without it, a new row could be infinite after
# scaling. No training row is clipped: n values are at most sqrt(n) standard deviations from their mean.
MAX_DEVIATIONS = 1e4
MANY_FEATURES = 100  # with more features than this, each is permuted once instead of three times


def make(problem: Problem, sampled: Sampled, rounds: int) -> Any:
    """Return an unfitted pipeline: clip and scale by the training table, impute the mean, then the perceptron.

    The target of a regression is scaled too, because Adam's step sizes assume values around 1.
    """
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.frozen import FrozenEstimator
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    estimator_class = MLPClassifier if problem.task.labels else MLPRegressor
    params = {**problem.fixed, **sampled, "max_iter": rounds, "random_state": problem.seed}
    # Rounds are chosen by cross-validation, not by the training loss.
    network = estimator_class(**params, solver="adam", n_iter_no_change=rounds + 1)
    clip, scale = clip_and_scale(problem.scaler)
    steps = [
        ("clip", FrozenEstimator(clip)),
        ("scale", FrozenEstimator(scale)),
        ("impute", SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True)),
        ("mlp", network),
    ]
    pipeline = Pipeline(steps)
    return pipeline if problem.task.labels else TransformedTargetRegressor(pipeline, transformer=StandardScaler())


def clip_and_scale(scaler: "StandardScaler") -> "tuple[MinMaxScaler, StandardScaler]":
    """Return a transformer that clips inputs to `MAX_DEVIATIONS` of the mean, and the scaler to apply to its output."""
    from sklearn.preprocessing import MinMaxScaler

    radius, largest = MAX_DEVIATIONS * scaler.scale_, np.finfo(np.float32).max
    lower, upper = (np.clip(scaler.mean_ + side, -largest, largest).astype(np.float32) for side in (-radius, radius))
    clip = MinMaxScaler(feature_range=(lower, upper), clip=True)
    clip.scale_, clip.min_ = np.ones_like(radius), np.zeros_like(radius)
    clip.n_features_in_, clip.feature_names_in_ = scaler.n_features_in_, scaler.feature_names_in_
    unnamed = copy(scaler)
    del unnamed.feature_names_in_
    return clip, unnamed


def network_of(model: Any) -> Any:
    """Return the perceptron inside a model; it is fitted if the model is."""
    pipeline = getattr(model, "regressor_", None) or getattr(model, "regressor", None) or model
    return pipeline.named_steps["mlp"]


def fit_staged(
    model: Any, fold: FoldTables, scored: Sequence[int], with_train: bool, n_classes: int
) -> Iterator[tuple[Outputs, Outputs]]:
    """Fit a neural network epoch by epoch, exactly as `fit` does; yield outputs for training and validation rows.

    `fit` shuffles the rows in the order left by the previous epoch, `partial_fit` in the order given. So each epoch
    passes the rows in the order left by the previous one.
    """
    from sklearn.base import clone
    from sklearn.utils import shuffle

    X_train, y_train, X_valid, _ = fold
    pipeline, network = model if n_classes else model.regressor, network_of(model)
    # With a seed instead of a generator, every epoch would shuffle the rows in the same way. The second generator
    # repeats the draws of the first, to know the order of the rows.
    generator, order_generator = (np.random.RandomState(network.random_state) for _ in range(2))
    network.set_params(random_state=generator, max_iter=scored[-1] + 1)
    inputs, valid_inputs = pipeline[:-1].fit_transform(X_train), pipeline[:-1].transform(X_valid)
    mean, deviation = (0.0, 1.0) if n_classes else (float(y_train.mean()), float(y_train.std()) or 1.0)
    targets = y_train if n_classes else (y_train - mean) / deviation
    classes = {"classes": np.arange(n_classes)} if n_classes else {}
    # Fitting a copy to one row draws only the initial weights: one row is not shuffled.
    weights_only = clone(network).set_params(random_state=order_generator, batch_size=1)
    weights_only.partial_fit(inputs[:1], targets[:1], **classes)
    order = np.arange(len(inputs))
    for epoch in range(1, scored[-1] + 1):
        network.partial_fit(inputs[order], targets[order], **classes)
        order = shuffle(order, random_state=order_generator)
        if epoch in scored:
            tables = (inputs if with_train else inputs[:1], valid_inputs)
            train, valid = (network.predict_proba(X) if n_classes else network.predict(X) for X in tables)
            yield train * deviation + mean, valid * deviation + mean


def importance(model: Any, X: pd.DataFrame, y: NDArray[Any]) -> Importance:
    """Return the permutation importance of each feature: the increase of the loss when its values are shuffled.

    See Breiman, *Random Forests*, 2001. The more features there are, the fewer rows are used.
    """
    from sklearn.inspection import permutation_importance

    n_features = X.shape[1]
    n_rows = max(MIN_PERMUTED_ROWS, min(MAX_PERMUTED_ROWS, PERMUTED_VALUES // n_features))
    rows = np.random.default_rng(0).permutation(len(X))[:n_rows]
    is_classifier = hasattr(model, "classes_")
    pipeline, network, targets = model if is_classifier else model.regressor_, network_of(model), y[rows]
    if not is_classifier:
        targets = model.transformer_.transform(targets[:, None])[:, 0]

    def score(network: Any, inputs: NDArray[Any], y: NDArray[Any]) -> float:
        if is_classifier:  # scikit-learn's log loss scorer fails if the rows lack a class
            return -float(per_row_log_loss(y, network.predict_proba(inputs)).mean())
        return -rmse(y, network.predict(inputs))

    inputs, n_repeats = pipeline[:-1].transform(X.iloc[rows]), 3 if n_features <= MANY_FEATURES else 1
    result = permutation_importance(network, inputs, targets, scoring=score, n_repeats=n_repeats, random_state=0)
    return {"permutation": dict(zip(X.columns, map(float, result.importances_mean.clip(0)), strict=True))}


def explain(model: Any, X: pd.DataFrame, background: pd.DataFrame) -> tuple[NDArray[Any], NDArray[np.float64], str]:
    """Estimate SHAP values with Kernel SHAP (Lundberg & Lee 2017), computed on the scaled inputs.

    With the mean output for `background` as base value, they sum to the output.
    """
    import shap

    is_classifier = hasattr(model, "classes_")
    pipeline, network = model if is_classifier else model.regressor_, network_of(model)
    inputs, background_inputs = (pipeline[:-1].transform(rows) for rows in (X, background))

    def predict(values: NDArray[Any]) -> NDArray[Any]:
        if not is_classifier:
            return np.asarray(model.transformer_.inverse_transform(network.predict(values)[:, None])[:, 0], np.float64)
        probabilities = np.asarray(network.predict_proba(values), np.float64)
        return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities

    random_state = np.random.get_state()
    np.random.seed(0)  # shap draws from NumPy's global generator
    explainer = shap.KernelExplainer(predict, background_inputs)
    values = explainer.shap_values(inputs, nsamples=SAMPLES, l1_reg=False, silent=True)
    np.random.set_state(random_state)
    base_values = np.asarray(explainer.expected_value, np.float64)
    return np.asarray(values), base_values, "probability" if is_classifier else ""


def explainable_rows(model: Any, row_rounds: int, n_fits: int) -> int:
    """Return how many rows can be explained in about three seconds.

    The time is estimated, so that the plots are reproducible: explaining a row takes `SAMPLES` times `BACKGROUND_ROWS`
    predictions at 0.15 ns per weight, plus 30 ms.
    """
    weights = sum(layer.size for layer in network_of(model).coefs_)
    return max(1, int(3e9 / (0.15 * SAMPLES * BACKGROUND_ROWS * weights + 3e7)))


FAMILY = Family(
    flavor="sklearn",
    autolog={"log_post_training_metrics": False},  # they would be metrics of the training set
    file=PICKLE,
    estimators=("MLPRegressor", "MLPClassifier"),
    rounds_label="epochs",
    parameters={
        "hidden_layer_sizes": Parameter(layers=True),
        "activation": Parameter(1, 0, words=("identity", "logistic", "tanh", "relu")),
        "alpha": Parameter(),
        "learning_rate_init": Parameter(0, 1, above=True),
        "batch_size": Parameter(1, 1e9, whole=True, words=("auto",)),
        "max_iter": Parameter(1, 10_000, whole=True),
    },
    defaults={"hidden_layer_sizes": [128, 64, 32], "max_iter": 100},
    space={
        "alpha": Range(low=1e-5, high=1e-1, log=True),
        "learning_rate_init": Range(low=3e-4, high=1e-2, log=True),
    },
    learner=partial(
        Estimators,
        Recipe(
            make=make,
            fit_staged=fit_staged,
            rounds_name="max_iter",
            compare_rounds=30,
            has_best_round=True,
            # n_estimators is logged for every family, so that a search by it finds runs of all of them.
            effective_params=lambda model: {"n_estimators": 1, **network_of(model).get_params()},
        ),
    ),
    importance=importance,
    explain=explain,
    explainable_rows=explainable_rows,
    train_losses=lambda model: [float(loss) for loss in network_of(model).loss_curve_],
    quick_options={"epochs": "max_iter", "batch_size": "batch_size", "learning_rate": "learning_rate_init"},
    quick_rank=3,
)
