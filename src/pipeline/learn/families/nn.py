"""A neural net: scikit-learn's multi-layer perceptron, on scaled inputs whose missing values are the mean."""

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

SAMPLES = 300  # sets of features that are tried for a row's SHAP values
# Rows whose values are shuffled to see what a feature matters: so many values in all, within these bounds.
PERMUTED_VALUES, FEWEST_PERMUTED, MOST_PERMUTED = 100_000, 200, 1000
# Deviations from the mean at which inputs end, or one of a new row could be infinite after scaling. No training row is
# as far: none is farther than the square root of their number.
FARTHEST = 1e4
MANY_FEATURES = 100  # from which each is shuffled once instead of three times


def make(problem: Problem, sampled: Sampled, rounds: int) -> Any:
    """Return an unfitted pipeline: bounds and scaler of the training table, the mean for missing values, the net.

    In a regression the target is scaled too: Adam's steps are made for numbers about 1.
    """
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.frozen import FrozenEstimator
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    kind = MLPClassifier if problem.task.labels else MLPRegressor
    stated = {**problem.fixed, **sampled, "max_iter": rounds, "random_state": problem.seed}
    # Rounds are chosen by cross-validation, not by the training loss.
    net = kind(**stated, solver="adam", n_iter_no_change=rounds + 1)
    clip, scale = bounded(problem.scaler)
    steps = [
        ("clip", FrozenEstimator(clip)),
        ("scale", FrozenEstimator(scale)),
        ("impute", SimpleImputer(strategy="constant", fill_value=0.0, keep_empty_features=True)),
        ("mlp", net),
    ]
    pipeline = Pipeline(steps)
    return pipeline if problem.task.labels else TransformedTargetRegressor(pipeline, transformer=StandardScaler())


def bounded(scaler: "StandardScaler") -> "tuple[MinMaxScaler, StandardScaler]":
    """Return what keeps inputs within `FARTHEST` deviations of the mean, and the scaler for what comes out of it."""
    from sklearn.preprocessing import MinMaxScaler

    far, end = FARTHEST * scaler.scale_, np.finfo(np.float32).max
    lower, upper = (np.clip(scaler.mean_ + side, -end, end).astype(np.float32) for side in (-far, far))
    clip = MinMaxScaler(feature_range=(lower, upper), clip=True)
    clip.scale_, clip.min_ = np.ones_like(far), np.zeros_like(far)
    clip.n_features_in_, clip.feature_names_in_ = scaler.n_features_in_, scaler.feature_names_in_
    unnamed = copy(scaler)
    del unnamed.feature_names_in_
    return clip, unnamed


def net_of(model: Any) -> Any:
    """Return the net within a model, fitted where the model is."""
    pipeline = getattr(model, "regressor_", None) or getattr(model, "regressor", None) or model
    return pipeline.named_steps["mlp"]


def follow(
    model: Any, fold: FoldTables, scored: Sequence[int], with_train: bool, n_classes: int
) -> Iterator[tuple[Outputs, Outputs]]:
    """Fit a net epoch by epoch, exactly as `fit` would, and yield its outputs for training and validation rows.

    `fit` shuffles the rows as the epoch before left them, `partial_fit` as they are given: so they are given that way.
    """
    from sklearn.base import clone
    from sklearn.utils import shuffle

    X_train, y_train, X_valid, _ = fold
    pipeline, net = model if n_classes else model.regressor, net_of(model)
    # One generator for all epochs: a seed would shuffle the rows alike in every epoch.
    generator, same = (np.random.RandomState(net.random_state) for _ in range(2))
    net.set_params(random_state=generator, max_iter=scored[-1] + 1)
    inputs, valid = pipeline[:-1].fit_transform(X_train), pipeline[:-1].transform(X_valid)
    mean, deviation = (0.0, 1.0) if n_classes else (float(y_train.mean()), float(y_train.std()) or 1.0)
    targets = y_train if n_classes else (y_train - mean) / deviation
    classes = {"classes": np.arange(n_classes)} if n_classes else {}
    weights_only = clone(net).set_params(random_state=same, batch_size=1)
    weights_only.partial_fit(inputs[:1], targets[:1], **classes)  # of one row there is no order to draw
    order = np.arange(len(inputs))
    for epoch in range(1, scored[-1] + 1):
        net.partial_fit(inputs[order], targets[order], **classes)
        order = shuffle(order, random_state=same)
        if epoch in scored:
            tables = (inputs if with_train else inputs[:1], valid)
            train, of_valid = (net.predict_proba(X) if n_classes else net.predict(X) for X in tables)
            yield train * deviation + mean, of_valid * deviation + mean


def importance(model: Any, X: pd.DataFrame, y: NDArray[Any]) -> Importance:
    """Return how much worse the loss on training rows gets when a feature's values are shuffled.

    Permutation importance: Breiman, *Random Forests*, 2001. Fewer rows are looked at the more features there are.
    """
    from sklearn.inspection import permutation_importance

    n_features = X.shape[1]
    n_rows = max(FEWEST_PERMUTED, min(MOST_PERMUTED, PERMUTED_VALUES // n_features))
    rows = np.random.default_rng(0).permutation(len(X))[:n_rows]
    classifies = hasattr(model, "classes_")
    pipeline, net, targets = model if classifies else model.regressor_, net_of(model), y[rows]
    if not classifies:
        targets = model.transformer_.transform(targets[:, None])[:, 0]

    def score(net: Any, inputs: NDArray[Any], y: NDArray[Any]) -> float:
        if classifies:  # scikit-learn's scorer refuses rows that lack one of the classes
            return -float(per_row_log_loss(y, net.predict_proba(inputs)).mean())
        return -rmse(y, net.predict(inputs))

    inputs, n_repeats = pipeline[:-1].transform(X.iloc[rows]), 3 if n_features <= MANY_FEATURES else 1
    found = permutation_importance(net, inputs, targets, scoring=score, n_repeats=n_repeats, random_state=0)
    return {"permutation": dict(zip(X.columns, map(float, found.importances_mean.clip(0)), strict=True))}


def explain(model: Any, X: pd.DataFrame, background: pd.DataFrame) -> tuple[NDArray[Any], NDArray[np.float64], str]:
    """Estimate SHAP values by Kernel SHAP (Lundberg & Lee 2017), of inputs as the net gets them.

    With the mean output of `background` they add up to the output.
    """
    import shap

    classifies = hasattr(model, "classes_")
    pipeline, net = model if classifies else model.regressor_, net_of(model)
    inputs, known = (pipeline[:-1].transform(rows) for rows in (X, background))

    def outputs(values: NDArray[Any]) -> NDArray[Any]:
        if not classifies:
            return np.asarray(model.transformer_.inverse_transform(net.predict(values)[:, None])[:, 0], np.float64)
        found = np.asarray(net.predict_proba(values), np.float64)
        return found[:, 1] if found.shape[1] == 2 else found

    before = np.random.get_state()
    np.random.seed(0)  # shap draws from NumPy's global generator
    explainer = shap.KernelExplainer(outputs, known)
    values = explainer.shap_values(inputs, nsamples=SAMPLES, l1_reg=False, silent=True)
    np.random.set_state(before)
    base_values = np.asarray(explainer.expected_value, np.float64)
    return np.asarray(values), base_values, "probability" if classifies else ""


def explainable_rows(model: Any, row_rounds: int, n_fits: int) -> int:
    """Return how many rows can be explained in about three seconds.

    Counted, not measured: each asks the net `SAMPLES` times `BACKGROUND_ROWS` rows, at 0.15 ns a weight, and takes
    30 ms more.
    """
    weights = sum(layer.size for layer in net_of(model).coefs_)
    return max(1, int(3e9 / (0.15 * SAMPLES * BACKGROUND_ROWS * weights + 3e7)))


FAMILY = Family(
    flavour="sklearn",
    autolog={"log_post_training_metrics": False},  # metrics are those of rows the fit has not seen
    file=PICKLE,
    estimators=("MLPRegressor", "MLPClassifier"),
    rounds="epochs",
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
            follow=follow,
            rounds_name="max_iter",
            compare_rounds=30,
            has_best_round=True,
            # One net is one estimator: so that a query by n_estimators finds runs of every family.
            stated=lambda model: {"n_estimators": 1, **net_of(model).get_params()},
        ),
    ),
    importance=importance,
    explain=explain,
    explainable_rows=explainable_rows,
    train_losses=lambda model: [float(loss) for loss in net_of(model).loss_curve_],
    quick_options={"epochs": "max_iter", "batch_size": "batch_size", "learning_rate": "learning_rate_init"},
    quick_rank=3,
)
