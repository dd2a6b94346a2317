"""The chosen threshold is the best of all, by F1 or by cost, and the same rows are predicted wherever it is used."""

from functools import partial

import numpy as np
import pytest
from sklearn.metrics import f1_score as sklearn_f1

from pipeline.features.decision import confidences, predicted_classes
from pipeline.learn.threshold import best_threshold, f1_score, negative_cost


def drawn(seed: int, decimals: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of a rare class, and probabilities that rank them better than chance."""
    rng = np.random.default_rng(seed)
    y_true = (rng.random(200) < 0.1).astype(np.int64)
    return y_true, np.clip(0.1 + 0.15 * y_true + rng.normal(0, 0.1, 200), 0, 1).round(decimals)


def predict(proba: np.ndarray, threshold: float) -> np.ndarray:
    return predicted_classes(np.column_stack([1 - proba, proba]), threshold)


@pytest.mark.parametrize("decimals", [9, 1])  # 1: many rows have the same probability
@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_has_a_greater_f1(seed: int, decimals: int) -> None:
    y_true, proba = drawn(seed, decimals)
    chosen = best_threshold(y_true, proba, f1_score)
    scores = [sklearn_f1(y_true, predict(proba, float(at))) for at in np.linspace(0, 1, 2001)]
    found = sklearn_f1(y_true, predict(proba, chosen))
    assert found >= max(scores) > sklearn_f1(y_true, predict(proba, 0.5), zero_division=0)
    assert chosen == float(np.float32(chosen))
    assert chosen not in proba.astype(np.float32)  # midway between two probabilities


@pytest.mark.parametrize(("false_positive", "false_negative"), [(1, 1), (1, 8), (0.5, 0.01), (1, 1000)])
def test_no_other_threshold_has_a_lower_cost(false_positive: float, false_negative: float) -> None:
    y_true, proba = drawn(0)

    def cost(threshold: float) -> float:
        y_pred = predict(proba, threshold)
        return false_positive * np.sum(y_pred > y_true) + false_negative * np.sum(y_pred < y_true)

    chosen = best_threshold(y_true, proba, negative_cost(false_positive, false_negative))
    assert cost(chosen) == pytest.approx(min(map(cost, np.linspace(0, 1, 2001))))


def test_dearer_misses_lower_the_threshold() -> None:
    y_true, proba = drawn(0)
    chosen = [best_threshold(y_true, proba, negative_cost(1, cost)) for cost in (0.1, 1, 4, 16, 1000)]
    assert chosen == sorted(chosen, reverse=True)
    assert chosen[0] > 2 * chosen[-1]


def test_of_equal_scores_the_closest_to_one_half_wins_then_the_lowest() -> None:
    choose = partial(best_threshold, score=f1_score)
    assert choose(np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.5, 0.9])) == pytest.approx(0.4)
    # Of the rows 0.25 and 0.75 one is positive, whichever threshold separates them; no row is another possibility.
    equal = best_threshold(np.array([1, 0]), np.array([0.25, 0.75]), lambda true, *_: np.zeros(len(true)))
    assert equal == 0.5
    even = best_threshold(np.array([1]), np.array([0.5]), lambda true, *_: np.zeros(len(true)))
    assert even == 0.25  # 0.25 and 0.75 are equally close


def test_extreme_probabilities() -> None:
    zeros, ones = np.zeros(3), np.ones(3)
    assert best_threshold(np.array([0, 1, 1]), zeros, f1_score) == 0.0  # predicts all rows positive
    assert best_threshold(np.array([0, 0, 1]), zeros, negative_cost(1, 1)) == 0.5
    assert best_threshold(np.array([0, 0, 1]), ones, negative_cost(1, 1)) == 0.5  # no threshold predicts none
    assert best_threshold(np.zeros(3, np.int64), ones / 4, f1_score) > 0.25
    near = np.nextafter(np.float32(0.5), np.float32(1))
    between = best_threshold(np.array([0, 1]), np.array([0.5, near]), f1_score)
    assert between == near  # two neighboring 32-bit numbers have none between them


def test_classes_at_a_threshold_are_compared_in_32_bits() -> None:
    y_proba = np.array([[0.7, 0.3], [0.7 + 1e-12, 0.3 - 1e-12], [0.71, 0.29]])
    assert predicted_classes(y_proba, 0.3).tolist() == [1, 1, 0]
    assert predicted_classes(y_proba.astype(np.float32), 0.3).tolist() == [1, 1, 0]
    assert predicted_classes(y_proba).tolist() == [0, 0, 0]
    assert confidences(y_proba, 0.3).tolist() == [0.3, 0.3 - 1e-12, 0.71]
    assert confidences(y_proba).tolist() == [0.7, 0.7 + 1e-12, 0.71]
