import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from pipeline.learn import boosting as boosting_module
from pipeline.learn.boosters import LEAFWISE_DEPTH, score_curve, validation_score
from pipeline.learn.boosting import Boosting
from pipeline.learn.candidate import Candidate
from pipeline.learn.comparisons import COMPARISON_BINS, EARLY_PATIENCE, EARLY_ROUNDS
from pipeline.learn.cross_validation import CrossValidation
from pipeline.learn.estimators import Estimators
from pipeline.learn.families import family, is_installed
from pipeline.learn.learner import FoldTables, Learner, Problem
from pipeline.learn.parallel import run_parallel
from pipeline.learn.search import count_candidates, search
from pipeline.learn.search_params import SearchParams
from pipeline.learn.search_space import STARTUP_CANDIDATES, startup_candidates
from pipeline.learn.starts import STARTS
from pipeline.learn.task import Task
from support.effort import times
from support.families import FAMILY_CASES

SPACE = {
    "max_depth": {"low": 1, "high": 6},
    "min_child_weight": {"low": 1.0, "high": 50.0, "log": True},
    "learning_rate": {"low": 0.01, "high": 0.4, "log": True},
}
REGRESSION, MULTICLASS = Task(), Task(["a", "b", "c"])


@pytest.fixture(scope="module")
def folds() -> list[FoldTables]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(600, 4)), columns=list("abcd")).astype("float32")
    y = (X["a"] * X["b"] + np.sin(3 * X["c"]) + rng.normal(0, 0.3, 600)).to_numpy(np.float64)
    rows = np.arange(600)
    splits = [(rows[rows % 4 != number], rows[rows % 4 == number]) for number in range(4)]
    return [(X.iloc[train], y[train], X.iloc[valid], y[valid]) for train, valid in splits]


@pytest.fixture(scope="module")
def class_folds(folds: list[FoldTables]) -> list[FoldTables]:
    def classes(y: np.ndarray) -> np.ndarray:
        return np.digitize(y, [-0.5, 0.5])

    return [(X, classes(y), X_valid, classes(y_valid)) for X, y, X_valid, y_valid in folds]


def params(**changes: object) -> SearchParams:
    space = changes.pop("space", SPACE)
    return SearchParams.model_validate({"n_candidates": 12, "max_rounds": 200, "space": {"xgboost": space}, **changes})


def learner(
    search_params: SearchParams,
    folds: list[FoldTables],
    n_jobs: int = 1,
    name: str = "xgboost",
    task: Task = REGRESSION,
) -> Learner:
    definition = family(name)
    return definition.learner(
        Problem(
            task=task,
            fixed=dict(definition.defaults),
            space=search_params.space.get(name, {}),
            search=search_params,
            seed=1,
            n_jobs=n_jobs,
            scaler=StandardScaler().fit(folds[0][0]),
            folds=folds,
        )
    )


def boosting(search_params: SearchParams, folds: list[FoldTables], n_jobs: int = 1) -> Boosting:
    boosting_learner = learner(search_params, folds, n_jobs)
    assert isinstance(boosting_learner, Boosting)
    return boosting_learner


def run_search(search_params: SearchParams, search_learner: Learner, seed: int = 1) -> list[Candidate]:
    recorded: list[Candidate] = []
    candidates = list(search(search_params, search_learner, seed, recorded.append))
    assert candidates == recorded
    assert [candidate.number for candidate in candidates] == list(range(1, len(candidates) + 1))
    return candidates


def are_equal(first: CrossValidation, second: CrossValidation) -> bool:
    curves = [(scores.rounds, scores.train_curves, scores.valid_curves) for scores in (first, second)]
    return curves[0] == curves[1] and all(
        np.array_equal(a, b) for a, b in zip(first.outputs, second.outputs, strict=True)
    )


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_gives_the_same_candidates(sampler: str, folds: list[FoldTables]) -> None:
    search_params = params(sampler=sampler, max_rounds=20)
    first, same_seed, other_seed = (
        run_search(search_params, learner(search_params, folds), seed) for seed in (1, 1, 2)
    )
    assert first == same_seed
    assert [candidate.sampled for candidate in first] != [candidate.sampled for candidate in other_seed]
    assert len(first) == 12
    for candidate in first:
        assert 1 <= candidate.sampled["max_depth"] <= 6
        assert 1 <= candidate.sampled["min_child_weight"] <= 50


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_results_are_independent_of_the_number_of_threads(sampler: str, folds: list[FoldTables]) -> None:
    search_params = params(sampler=sampler, n_candidates=7, max_rounds=20)
    learners = [learner(search_params, folds, n_jobs) for n_jobs in (1, 3)]
    candidates = [run_search(search_params, search_learner) for search_learner in learners]
    assert candidates[0] == candidates[1]
    assert are_equal(*(item.cross_validate({"max_depth": 4}, 20, choose_round=False) for item in learners))


@pytest.mark.parametrize("name", [case for case in FAMILY_CASES if case.values != ("xgboost",)])
@pytest.mark.parametrize("task", [REGRESSION, MULTICLASS], ids=["regression", "multiclass"])
def test_results_of_estimators_are_independent_of_the_number_of_threads(
    name: str, task: Task, folds: list[FoldTables], class_folds: list[FoldTables]
) -> None:
    space = {
        "lightgbm": {"num_leaves": [2, 4, 6], "subsample": [0.7]},
        "random_forest": {"max_depth": [2, 4, 6]},
        "nn": {"alpha": [1e-4, 1e-2, 1.0]},
    }
    search_params = params(space={}, n_candidates=3, max_rounds=times(40, 12))
    tables = class_folds if task.labels else folds
    search_params = search_params.model_copy(update={"space": {name: space[name]}})
    learners = [learner(search_params, tables, n_jobs, name, task) for n_jobs in (1, 3)]
    candidates = [run_search(search_params, search_learner) for search_learner in learners]
    assert candidates[0] == candidates[1]
    assert are_equal(*(item.cross_validate({}, 5, choose_round=True) for item in learners))
    models = [item.estimator({}, 5, tables[0][1]) for item in learners]
    for item, model in zip(learners, models, strict=True):
        item.fit(model, *tables[0][:2])
    outputs = [(model.predict_proba if task.labels else model.predict)(tables[0][2]) for model in models]
    np.testing.assert_array_equal(*outputs)


def test_small_tables_are_fitted_by_one_thread(folds: list[FoldTables]) -> None:
    few_rows = [(X[:200], y[:200], X_valid, y_valid) for X, y, X_valid, y_valid in folds]
    large, small = (learner(params(), tables, n_jobs=3, name="random_forest") for tables in (folds, few_rows))
    assert isinstance(large, Estimators)
    assert isinstance(small, Estimators)
    assert (large.n_jobs, small.n_jobs) == (3, 1)
    assert small.threads(600) == 3  # the final fit, if the search sees only some of the rows


def test_fits_run_in_parallel_and_share_spare_threads_and_a_single_last_one_gets_all() -> None:
    def threads(fits: str, n_jobs: int) -> list[tuple[str, int]]:
        return run_parallel(lambda params, fit: (fit, params["nthread"]), [({"nthread": n_jobs}, fit) for fit in fits])

    assert threads("abcde", 2) == [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 2)]
    assert threads("abc", 4) == [("a", 1), ("b", 1), ("c", 1)]
    assert threads("ab", 5) == [("a", 2), ("b", 2)]
    assert threads("ab", 1) == [("a", 1), ("b", 1)]
    assert threads("", 2) == []

    barrier = threading.Barrier(3)  # raises unless three threads wait at the same time
    indices = run_parallel(lambda _, fit: barrier.wait(timeout=30), [({"nthread": 3}, fit) for fit in range(3)])
    assert sorted(indices) == [0, 1, 2]


def test_small_tables_are_compared_on_all_folds_with_early_stopping(folds: list[FoldTables]) -> None:
    folds = [(X, y + 10, X_valid, y_valid + 10) for X, y, X_valid, y_valid in folds]  # positive
    search_params = SearchParams(n_candidates=9)
    boosting_learner = learner(search_params.model_copy(update={"space": {"xgboost": family("xgboost").space}}), folds)
    assert isinstance(boosting_learner, Boosting)
    candidates = run_search(search_params, boosting_learner)
    assert {candidate.sampled["learning_rate"] for candidate in candidates} == {0.1}
    for candidate, start in zip(candidates, STARTS, strict=False):
        assert candidate.sampled.items() >= start.items()
    assert len({candidate.sampled["objective"] for candidate in candidates[:3]}) == 3
    for candidate in candidates:
        native = boosting_learner.native_params(candidate.sampled)
        for fold, score, rounds in zip(
            boosting_learner.folds, candidate.fold_scores, candidate.fold_rounds, strict=False
        ):
            curve = score_curve(native, fold, EARLY_ROUNDS, EARLY_PATIENCE)
            assert (score, rounds) == (min(curve), curve.index(min(curve)) + 1)
    assert {len(candidate.fold_scores) for candidate in candidates} == {1, 4}
    best = min((candidate for candidate in candidates if not candidate.dropped), key=lambda each: each.mean)
    continued = list(search(search_params, boosting_learner, 2, lambda _: None, best.sampled))
    assert len(continued) == 4
    assert continued[0].sampled == best.sampled


def test_large_tables_are_compared_at_one_learning_rate_for_few_rounds(
    folds: list[FoldTables], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boosting_module, "EARLY_ROUND_SECONDS", 0)
    boosting_learner = boosting(params(), folds)
    candidates = run_search(params(), boosting_learner)
    assert {candidate.sampled["learning_rate"] for candidate in candidates} == {0.2}
    assert len({tuple(candidate.fold_rounds[:1]) for candidate in candidates}) == 1
    kept, dropped = ([candidate for candidate in candidates if candidate.dropped is state] for state in (False, True))
    assert kept[0].number == 1
    assert dropped
    assert {len(candidate.fold_scores) for candidate in kept} == {3}
    assert max(len(candidate.fold_scores) for candidate in dropped) < 3
    best = min(kept, key=lambda candidate: candidate.mean)
    for candidate in dropped:
        assert candidate.mean > np.mean(best.fold_scores[: len(candidate.fold_scores)])
    native = {**boosting_learner.native, **best.sampled, **COMPARISON_BINS}
    folds_in_few_bins = boosting_learner.comparison_folds
    assert best.fold_scores == [validation_score(native, fold, best.fold_rounds[0]) for fold in folds_in_few_bins]
    assert [fold.train.get_quantile_cut()[0].max() < 5 * 32 for fold in folds_in_few_bins] == [True] * 3
    assert boosting_learner.folds[0].train.get_quantile_cut()[0].max() > 5 * 32


def test_startup_candidates_are_the_center_and_points_in_every_part_of_every_range() -> None:
    space = params(space={**SPACE, "gamma": [0, 1, 2], "max_leaves": {"low": 8, "high": 96}}).space["xgboost"]
    center, *others = startup_candidates(space, seed=3)
    assert center == {
        "gamma": 1,
        "learning_rate": pytest.approx(np.sqrt(0.01 * 0.4)),
        "max_depth": 4,
        "max_leaves": 52,
        "min_child_weight": pytest.approx(np.sqrt(50)),
    }
    assert len(others) == STARTUP_CANDIDATES - 1
    leaves = sorted(candidate["max_leaves"] for candidate in others)
    assert [int((value - 8) / (97 - 8) * len(others)) for value in leaves] == list(range(len(others)))
    weights = sorted(np.log(candidate["min_child_weight"]) / np.log(50) for candidate in others)
    assert [int(weight * len(others)) for weight in weights] == list(range(len(others)))
    assert {candidate["gamma"] for candidate in others} == {0, 1, 2}
    assert others != startup_candidates(space, seed=4)[1:]


def test_trees_with_a_limit_of_leaves_grow_leaf_by_leaf(folds: list[FoldTables]) -> None:
    def growth(fixed: dict[str, object], sampled: dict[str, object]) -> tuple[str, int]:
        leafwise = boosting(params(space={}), folds)
        leafwise.native |= fixed
        model = leafwise.estimator({"learning_rate": 0.5, **sampled}, 3, folds[0][1])
        leafwise.fit(model, *folds[0][:2])
        for leaves in model.get_booster().trees_to_dataframe().query("Feature == 'Leaf'").groupby("Tree").size():
            assert leaves <= (sampled.get("max_leaves") or 2**30)
        return model.grow_policy, model.max_depth

    assert growth({}, {"max_leaves": 20}) == ("lossguide", LEAFWISE_DEPTH)
    assert growth({"max_depth": 5}, {"max_leaves": 20}) == ("lossguide", 5)
    assert growth({}, {"max_leaves": 0, "max_depth": 4}) == ("depthwise", 4)
    assert growth({}, {"max_depth": 4}) == ("depthwise", 4)


def test_the_winner_of_tpe_gets_more_rounds_at_a_lower_learning_rate(
    folds: list[FoldTables], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boosting_module, "EARLY_ROUND_SECONDS", 0)

    def final(best: Candidate, **changes: object) -> tuple[dict[str, object], int]:
        return boosting(params(**changes), folds[:1]).final_params(best)

    best = Candidate(1, {"max_depth": 3, "learning_rate": 0.2}, [1.0], [40])
    assert final(best) == ({"max_depth": 3, "learning_rate": pytest.approx(0.14)}, 200)
    limited_range = {**SPACE, "learning_rate": {"low": 0.16, "high": 0.4}}
    assert final(best, space=limited_range) == ({"max_depth": 3, "learning_rate": 0.16}, 200)
    choices = {**SPACE, "learning_rate": [0.05, 0.15, 0.2, 0.3]}
    assert final(best, space=choices) == ({"max_depth": 3, "learning_rate": 0.15}, 200)
    assert boosting(params(space=choices), folds[:1]).shape_learning_rate == 0.2
    high_rates = {**SPACE, "learning_rate": [0.3, 0.5]}
    assert boosting(params(space=high_rates), folds[:1]).shape_learning_rate == 0.3
    default_rate = Candidate(1, {"max_depth": 3, "learning_rate": 0.3}, [1.0], [40])
    assert final(default_rate, space={"max_depth": {"low": 1, "high": 6}}) == (default_rate.sampled, 200)

    search_params = params(max_rounds=600)
    boosting_learner = boosting(search_params, folds)
    candidates = run_search(search_params, boosting_learner)
    winner = min((candidate for candidate in candidates if not candidate.dropped), key=lambda item: item.mean)
    sampled, rounds = boosting_learner.final_params(winner)
    assert sampled["learning_rate"] < winner.sampled["learning_rate"]
    at_the_high_rate = boosting_learner.cross_validate(winner.sampled, winner.fold_rounds[0], choose_round=False)
    assert boosting_learner.cross_validate(sampled, rounds, choose_round=True).mean < at_the_high_rate.mean


def test_random_scores_every_candidate_on_all_folds_with_early_stopping(folds: list[FoldTables]) -> None:
    search_params = params(sampler="random", n_candidates=3, early_stopping_rounds=5)
    boosting_learner = boosting(search_params, folds)
    candidates = run_search(search_params, boosting_learner)
    assert len({candidate.sampled["learning_rate"] for candidate in candidates}) == 3
    for candidate in candidates:
        native = {**boosting_learner.native, **candidate.sampled}
        curves = [score_curve(native, fold, 200, 5) for fold in boosting_learner.folds]
        assert candidate.fold_scores == [min(curve) for curve in curves]
        assert candidate.fold_rounds == [curve.index(min(curve)) + 1 for curve in curves]
        for curve, rounds in zip(curves, candidate.fold_rounds, strict=True):
            assert len(curve) in (200, rounds + 5)
        assert not candidate.dropped
    assert boosting_learner.final_params(candidates[0]) == (candidates[0].sampled, max(candidates[0].fold_rounds))


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_small_space_is_searched_exhaustively_without_repeats(sampler: str, folds: list[FoldTables]) -> None:
    search_params = params(sampler=sampler, space={"subsample": [0.5, 1.0], "max_depth": [1, 2]})
    small_learner = learner(search_params, folds)
    assert count_candidates(search_params, small_learner) == 4
    repeated = params(sampler=sampler, space={"max_depth": [3], "gamma": [1, 1.0, 1]})
    assert count_candidates(repeated, learner(repeated, folds)) == 1
    sampled = [candidate.sampled for candidate in run_search(search_params, small_learner)]
    combinations = [(values["subsample"], values["max_depth"]) for values in sampled]
    assert sorted(combinations) == [(0.5, 1), (0.5, 2), (1.0, 1), (1.0, 2)]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("name", FAMILY_CASES)
def test_a_constant_target_can_be_searched(sampler: str, name: str) -> None:
    X = pd.DataFrame({"a": np.arange(40, dtype=np.float32)})
    y, rows = np.full(40, 7.0), np.arange(40)
    folds = [(X.iloc[a], y[a], X.iloc[b], y[b]) for a, b in ((rows[:20], rows[20:]), (rows[20:], rows[:20]))]
    space = {
        "lightgbm": {"num_leaves": [2, 3, 4, 5]},
        "xgboost": SPACE,
        "random_forest": {"max_depth": [1, 2, 3, 4]},
        "nn": {"alpha": [0.1, 0.2, 0.3, 0.4]},
    }
    search_params = SearchParams.model_validate(
        {"sampler": sampler, "n_candidates": 4, "max_rounds": 20, "space": {name: space[name]}}
    )
    family_learner = learner(search_params, folds, name=name)
    assert len(run_search(search_params, family_learner)) == 4
    assert len(family_learner.cross_validate({}, 5, choose_round=True).fold_scores) == 2


def test_a_time_budget_ends_the_search_after_at_least_one_candidate(folds: list[FoldTables]) -> None:
    short, tiny = params(n_candidates=100_000, time_budget=0.2), params(time_budget=1e-9)
    assert 1 <= len(run_search(short, learner(short, folds))) < 1000
    assert run_search(tiny, learner(tiny, folds))[0].number == 1


def test_cross_validation_scores_along_the_way_and_finds_the_best_round(folds: list[FoldTables]) -> None:
    boosting_learner, sampled = boosting(params(), folds), {"max_depth": 6, "learning_rate": 0.5}
    scores = boosting_learner.cross_validate(sampled, 250, choose_round=False)
    assert scores.rounds == sorted({round(250 ** (step / 59)) for step in range(60)})
    curve = score_curve({**boosting_learner.native, **sampled}, boosting_learner.folds[1], 250)
    assert scores.valid_curves[1] == pytest.approx([curve[number - 1] for number in scores.rounds], rel=1e-6)
    best = boosting_learner.cross_validate(sampled, 250, choose_round=True)
    means = np.mean(scores.valid_curves, axis=0)
    assert best.mean == means.min() < means[-1]
    assert best.rounds[-1] == best.n_rounds == scores.rounds[int(np.argmin(means))]
    assert [len(curve) for curve in best.train_curves] == [len(best.rounds)] * 4
    for scored in (scores, best):
        rmse = [np.sqrt(np.mean((y_pred - y) ** 2)) for y_pred, (*_, y) in zip(scored.outputs, folds, strict=True)]
        assert scored.fold_scores == pytest.approx(rmse, rel=1e-5)


@pytest.mark.parametrize("name", FAMILY_CASES)
@pytest.mark.parametrize("task", [REGRESSION, MULTICLASS], ids=["regression", "multiclass"])
def test_cross_validation_for_the_best_number_of_rounds_repeats_its_scores(
    name: str, task: Task, folds: list[FoldTables], class_folds: list[FoldTables]
) -> None:
    """So an experiment with the same features and hyperparameters as the first one takes its scores."""
    family_learner = learner(params(), class_folds if task.labels else folds, name=name, task=task)
    best = family_learner.cross_validate({}, 60, choose_round=True)
    again = family_learner.cross_validate({}, best.n_rounds, choose_round=False)
    assert again.fold_scores == best.fold_scores
    assert all(np.array_equal(*outputs) for outputs in zip(again.outputs, best.outputs, strict=True))


@pytest.mark.parametrize("name", FAMILY_CASES)
def test_scores_of_a_classification_are_log_losses(name: str, class_folds: list[FoldTables]) -> None:
    scores = learner(params(), class_folds, name=name, task=MULTICLASS).cross_validate({}, 20, choose_round=True)
    assert scores.mean < 1.0 < np.log(3)
    for outputs, (*_, y), score in zip(scores.outputs, class_folds, scores.fold_scores, strict=True):
        assert outputs.shape == (150, 3)
        np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)
        assert score == pytest.approx(-np.log(outputs[np.arange(150), y]).mean(), rel=1e-5)


def test_forests_are_compared_with_few_trees_but_the_final_fit_uses_all(folds: list[FoldTables]) -> None:
    search_params = params().model_copy(update={"space": {"random_forest": {"max_depth": [2, 8]}}})
    forest_learner = learner(search_params, folds, name="random_forest")
    candidates = run_search(search_params, forest_learner)
    assert {rounds for candidate in candidates for rounds in candidate.fold_rounds} == {50}
    best = min((candidate for candidate in candidates if not candidate.dropped), key=lambda item: item.mean)
    assert best.sampled == {"max_depth": 8}
    assert forest_learner.final_params(best) == ({"max_depth": 8}, 200)
    scores = forest_learner.cross_validate({"max_depth": 8}, 20, choose_round=True)
    assert scores.n_rounds == 20  # more trees do not overfit, so no best round is chosen


def test_a_searched_number_of_trees_is_used_in_the_comparison(folds: list[FoldTables]) -> None:
    search_params = params().model_copy(update={"space": {"random_forest": {"n_estimators": [1, 5, 60]}}})
    forest_learner = learner(search_params, folds, name="random_forest")
    candidates = run_search(search_params, forest_learner)
    for candidate in candidates:
        assert set(candidate.fold_rounds) == {candidate.sampled["n_estimators"]}
    best = min((candidate for candidate in candidates if not candidate.dropped), key=lambda item: item.mean)
    assert forest_learner.final_params(best) == ({}, 60)


@pytest.mark.skipif(not is_installed("lightgbm"), reason="lightgbm is not installed")
def test_lightgbm_compares_candidates_at_their_best_rounds(folds: list[FoldTables]) -> None:
    search_params = params().model_copy(update={"space": {"lightgbm": {"learning_rate": [0.05, 0.3]}}})
    lightgbm_learner = learner(search_params, folds, name="lightgbm")
    slow, fast = sorted(run_search(search_params, lightgbm_learner), key=lambda item: item.sampled["learning_rate"])
    assert 400 > slow.fold_rounds[0] > fast.fold_rounds[0] > 1
    assert lightgbm_learner.final_params(slow) == ({"learning_rate": 0.05}, 200)
    scores = lightgbm_learner.cross_validate(slow.sampled, 200, choose_round=False)
    rounds = scores.rounds.index(slow.fold_rounds[0])
    assert slow.fold_scores[0] == scores.valid_curves[0][rounds] == min(scores.valid_curves[0])
