import threading
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from pipeline.params import SearchParams
from pipeline.learn.cross_validation import Fold, bin_folds, cross_validate, score_curve, squared_errors
from pipeline.learn.scoring import Candidate
from pipeline.learn.search import final_parameters, search
from pipeline.learn.search_space import n_candidates, shape_learning_rate
from pipeline.learn.side_by_side import side_by_side

FIXED = {"seed": 1, "nthread": 1, "objective": "reg:squarederror"}
SPACE = {
    "max_depth": {"low": 1, "high": 6},
    "min_child_weight": {"low": 1.0, "high": 50.0, "log": True},
    "learning_rate": {"low": 0.01, "high": 0.4, "log": True},
}


@pytest.fixture(scope="module")
def folds() -> list[Fold]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(600, 4)), columns=list("abcd")).astype("float32")
    y = (X["a"] * X["b"] + np.sin(3 * X["c"]) + rng.normal(0, 0.3, 600)).to_numpy(np.float64)
    rows = np.arange(600)
    divisions = [(rows[rows % 4 != number], rows[rows % 4 == number]) for number in range(4)]
    return bin_folds(((X.iloc[a], y[a], X.iloc[b], y[b]) for a, b in divisions), n_jobs=1)


def params(**changes: object) -> SearchParams:
    return SearchParams.model_validate({"n_candidates": 12, "max_rounds": 200, "space": SPACE, **changes})


def tried(search_params: SearchParams, folds: Sequence[Fold], seed: int = 1, n_threads: int = 1) -> list[Candidate]:
    recorded: list[Candidate] = []
    candidates = list(search(search_params, {**FIXED, "nthread": n_threads}, folds, seed, recorded.append))
    assert candidates == recorded
    assert [candidate.number for candidate in candidates] == list(range(1, len(candidates) + 1))
    return candidates


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_gives_the_same_candidates(sampler: str, folds: list[Fold]) -> None:
    first, again, other = (tried(params(sampler=sampler), folds, seed) for seed in (1, 1, 2))
    assert first == again
    assert [one.sampled for one in first] != [one.sampled for one in other]
    assert len(first) == 12
    assert all(1 <= one.sampled["max_depth"] <= 6 and 1 <= one.sampled["min_child_weight"] <= 50 for one in first)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_number_of_threads_changes_nothing(sampler: str, folds: list[Fold]) -> None:
    one, three = (tried(params(sampler=sampler, n_candidates=7), folds, n_threads=number) for number in (1, 3))
    assert one == three
    native = {**FIXED, "max_depth": 4}
    assert cross_validate(native, folds, 30) == cross_validate({**native, "nthread": 3}, folds, 30)


def test_tasks_run_side_by_side_and_one_that_is_left_over_gets_all_threads() -> None:
    def threads(tasks: str, n_jobs: int) -> list[tuple[str, int]]:
        return side_by_side(lambda params, task: (task, params["nthread"]), [({"nthread": n_jobs}, t) for t in tasks])

    assert threads("abcde", 2) == [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 2)]
    assert threads("abc", 4) == [("a", 1), ("b", 1), ("c", 1)]
    assert threads("ab", 1) == [("a", 1), ("b", 1)]
    assert threads("", 2) == []

    together = threading.Barrier(3)  # broken, and an error, unless three are there at the same time
    places = side_by_side(lambda _, task: together.wait(timeout=30), [({"nthread": 3}, task) for task in range(3)])
    assert sorted(places) == [0, 1, 2]


def test_tpe_compares_shapes_at_one_learning_rate_and_drops_the_hopeless(folds: list[Fold]) -> None:
    candidates = tried(params(), folds)
    assert {one.sampled["learning_rate"] for one in candidates} == {0.2}
    assert len({tuple(one.fold_rounds[:1]) for one in candidates}) == 1
    kept, dropped = ([one for one in candidates if one.dropped is state] for state in (False, True))
    assert kept[0].number == 1
    assert dropped
    assert {len(one.fold_rmse) for one in kept} == {3}
    assert max(len(one.fold_rmse) for one in dropped) < 3
    best = min(kept, key=lambda one: one.rmse_mean)
    for one in dropped:
        assert one.rmse_mean > np.mean(best.fold_rmse[: len(one.fold_rmse)])
    native = {**FIXED, **best.sampled}
    errors = [squared_errors(native, fold, best.fold_rounds[0]) for fold in folds[:3]]
    assert best.fold_rmse == pytest.approx([np.sqrt(one.mean()) for one in errors])


def test_the_winner_of_tpe_gets_more_rounds_at_a_lower_learning_rate(folds: list[Fold]) -> None:
    best = Candidate(1, {"max_depth": 3, "learning_rate": 0.2}, [1.0], [40])
    assert final_parameters(params(), best) == ({"max_depth": 3, "learning_rate": 0.08}, 200)
    low_enough = params(space={**SPACE, "learning_rate": {"low": 0.16, "high": 0.4}})
    assert final_parameters(low_enough, best) == ({"max_depth": 3, "learning_rate": 0.16}, 200)
    choices = params(space={**SPACE, "learning_rate": [0.05, 0.1, 0.2, 0.3]})
    assert final_parameters(choices, best) == ({"max_depth": 3, "learning_rate": 0.1}, 200)
    assert shape_learning_rate(choices) == 0.2
    assert shape_learning_rate(params(space={**SPACE, "learning_rate": [0.3, 0.5]})) == 0.3
    none = params(space={"max_depth": {"low": 1, "high": 6}})
    unlowered = Candidate(1, {"max_depth": 3, "learning_rate": 0.3}, [1.0], [40])
    assert final_parameters(none, unlowered) == (unlowered.sampled, 200)

    candidates = tried(params(), folds)
    winner = min((one for one in candidates if not one.dropped), key=lambda one: one.rmse_mean)
    sampled, rounds = final_parameters(params(), winner)
    scores = cross_validate({**FIXED, **sampled}, folds, rounds).at_best_round()
    assert scores.rmse_mean < winner.rmse_mean


def test_random_scores_every_candidate_on_all_folds_with_early_stopping(folds: list[Fold]) -> None:
    search_params = params(sampler="random", n_candidates=3, early_stopping_rounds=5)
    candidates = tried(search_params, folds)
    assert len({one.sampled["learning_rate"] for one in candidates}) == 3
    for one in candidates:
        curves = [score_curve({**FIXED, **one.sampled}, fold, 200, 5) for fold in folds]
        assert one.fold_rmse == [min(curve) for curve in curves]
        assert one.fold_rounds == [curve.index(min(curve)) + 1 for curve in curves]
        assert all(len(curve) in (200, used + 5) for curve, used in zip(curves, one.fold_rounds, strict=True))
        assert not one.dropped
    assert final_parameters(search_params, candidates[0]) == (candidates[0].sampled, max(candidates[0].fold_rounds))


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_few_choices_are_each_tried_once(sampler: str, folds: list[Fold]) -> None:
    few = params(sampler=sampler, space={"subsample": [0.5, 1.0], "max_depth": [1, 2]})
    assert n_candidates(few) == 4
    assert n_candidates(params(sampler=sampler, space={"max_depth": [3], "gamma": [1, 1.0, 1]})) == 1
    tries = [(one.sampled["subsample"], one.sampled["max_depth"]) for one in tried(few, folds)]
    assert sorted(tries) == [(0.5, 1), (0.5, 2), (1.0, 1), (1.0, 2)]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_target_that_never_varies_is_searched_without_complaint(sampler: str) -> None:
    X = pd.DataFrame({"a": np.arange(40, dtype=np.float32)})
    y, rows = np.full(40, 7.0), np.arange(40)
    folds = bin_folds(
        [(X.iloc[a], y[a], X.iloc[b], y[b]) for a, b in ((rows[:20], rows[20:]), (rows[20:], rows[:20]))], 1
    )
    assert len(tried(params(sampler=sampler, n_candidates=4), folds)) == 4


def test_a_time_budget_ends_the_search_after_a_candidate(folds: list[Fold]) -> None:
    candidates = tried(params(n_candidates=100_000, time_budget=0.2), folds)
    assert 1 <= len(candidates) < 1000
    assert tried(params(time_budget=1e-9), folds)[0].number == 1


def test_cross_validation_scores_on_the_way_and_finds_the_best_round(folds: list[Fold]) -> None:
    scores = cross_validate({**FIXED, "max_depth": 6, "learning_rate": 0.5}, folds, 250)
    assert scores.rounds == [1, *range(2, 251, 2)]
    curve = score_curve({**FIXED, "max_depth": 6, "learning_rate": 0.5}, folds[1], 250)
    assert scores.valid_curves[1] == pytest.approx([curve[number - 1] for number in scores.rounds], rel=1e-6)
    best = scores.at_best_round()
    means = np.mean(scores.valid_curves, axis=0)
    assert best.rmse_mean == means.min() < means[-1]
    assert best.rounds[-1] == best.n_rounds == scores.rounds[int(np.argmin(means))]
    assert [len(curve) for curve in best.train_curves] == [len(best.rounds)] * 4
