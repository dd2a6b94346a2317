import threading

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from pipeline.learn.boosters import losses_of, score_curve
from pipeline.learn.boosting import Boosting
from pipeline.learn.candidate import Candidate
from pipeline.learn.cross_validation import CrossValidation
from pipeline.learn.families import family
from pipeline.learn.learner import FoldTables, Learner, Problem
from pipeline.learn.parallel import side_by_side
from pipeline.learn.search import search
from pipeline.learn.search_params import SearchParams
from pipeline.learn.search_space import n_candidates
from pipeline.learn.space import Space
from pipeline.learn.task import Task
from support.effort import times

SPACE = {
    "max_depth": {"low": 1, "high": 6},
    "min_child_weight": {"low": 1.0, "high": 50.0, "log": True},
    "learning_rate": {"low": 0.01, "high": 0.4, "log": True},
}
REGRESSION, LABELS = Task(), Task(["a", "b", "c"])


@pytest.fixture(scope="module")
def folds() -> list[FoldTables]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(600, 4)), columns=list("abcd")).astype("float32")
    y = (X["a"] * X["b"] + np.sin(3 * X["c"]) + rng.normal(0, 0.3, 600)).to_numpy(np.float64)
    rows = np.arange(600)
    divisions = [(rows[rows % 4 != number], rows[rows % 4 == number]) for number in range(4)]
    return [(X.iloc[a], y[a], X.iloc[b], y[b]) for a, b in divisions]


@pytest.fixture(scope="module")
def labelled_folds(folds: list[FoldTables]) -> list[FoldTables]:
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
    used = family(name)
    return used.learner(
        Problem(
            task=task,
            fixed=dict(used.defaults),
            space=search_params.space.get(name, {}),
            search=search_params,
            seed=1,
            n_jobs=n_jobs,
            scaler=StandardScaler().fit(folds[0][0]),
            folds=folds,
        )
    )


def boosting(search_params: SearchParams, folds: list[FoldTables], n_jobs: int = 1) -> Boosting:
    made = learner(search_params, folds, n_jobs)
    assert isinstance(made, Boosting)
    return made


def tried(search_params: SearchParams, made: Learner, seed: int = 1) -> list[Candidate]:
    recorded: list[Candidate] = []
    candidates = list(search(search_params, made, seed, recorded.append))
    assert candidates == recorded
    assert [candidate.number for candidate in candidates] == list(range(1, len(candidates) + 1))
    return candidates


def same(one: CrossValidation, other: CrossValidation) -> bool:
    curves = (one.rounds, one.train_curves, one.valid_curves) == (other.rounds, other.train_curves, other.valid_curves)
    return curves and all(np.array_equal(a, b) for a, b in zip(one.outputs, other.outputs, strict=True))


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_gives_the_same_candidates(sampler: str, folds: list[FoldTables]) -> None:
    chosen = params(sampler=sampler, max_rounds=20)
    first, again, other = (tried(chosen, learner(chosen, folds), seed) for seed in (1, 1, 2))
    assert first == again
    assert [one.sampled for one in first] != [one.sampled for one in other]
    assert len(first) == 12
    assert all(1 <= one.sampled["max_depth"] <= 6 and 1 <= one.sampled["min_child_weight"] <= 50 for one in first)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_number_of_threads_changes_nothing(sampler: str, folds: list[FoldTables]) -> None:
    chosen = params(sampler=sampler, n_candidates=7, max_rounds=20)
    single, several = (learner(chosen, folds, n_jobs=number) for number in (1, 3))
    assert tried(chosen, single) == tried(chosen, several)
    assert same(*(one.cross_validate({"max_depth": 4}, 20, choose_round=False) for one in (single, several)))


@pytest.mark.parametrize("name", ["random_forest", "nn"])
@pytest.mark.parametrize("task", [REGRESSION, LABELS], ids=["regression", "labels"])
def test_the_number_of_threads_changes_nothing_for_estimators(
    name: str, task: Task, folds: list[FoldTables], labelled_folds: list[FoldTables]
) -> None:
    space = {"random_forest": {"max_depth": [2, 4, 6]}, "nn": {"alpha": [1e-4, 1e-2, 1.0]}}
    chosen = params(space={}, n_candidates=3, max_rounds=times(40, 12))
    tables = labelled_folds if task.labels else folds
    chosen = chosen.model_copy(update={"space": {name: space[name]}})
    single, several = (learner(chosen, tables, n_jobs, name, task) for n_jobs in (1, 3))
    assert tried(chosen, single) == tried(chosen, several)
    found = [one.cross_validate({}, 5, choose_round=True) for one in (single, several)]
    assert same(*found)
    models = [one.estimator({}, 5, tables[0][1]) for one in (single, several)]
    for one, model in zip((single, several), models, strict=True):
        one.fit(model, *tables[0][:2])
    outputs = [(model.predict_proba if task.labels else model.predict)(tables[0][2]) for model in models]
    np.testing.assert_array_equal(*outputs)


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


def test_tpe_compares_shapes_at_one_learning_rate_and_drops_the_hopeless(folds: list[FoldTables]) -> None:
    made = boosting(params(), folds)
    candidates = tried(params(), made)
    assert {one.sampled["learning_rate"] for one in candidates} == {0.2}
    assert len({tuple(one.fold_rounds[:1]) for one in candidates}) == 1
    kept, dropped = ([one for one in candidates if one.dropped is state] for state in (False, True))
    assert kept[0].number == 1
    assert dropped
    assert {len(one.fold_scores) for one in kept} == {3}
    assert max(len(one.fold_scores) for one in dropped) < 3
    best = min(kept, key=lambda one: one.mean)
    for one in dropped:
        assert one.mean > np.mean(best.fold_scores[: len(one.fold_scores)])
    native = {**made.native, **best.sampled}
    errors = [losses_of(native, fold, best.fold_rounds[0], REGRESSION) for fold in made.folds[:3]]
    assert best.fold_scores == pytest.approx([np.sqrt(one.mean()) for one in errors])


def test_the_winner_of_tpe_gets_more_rounds_at_a_lower_learning_rate(folds: list[FoldTables]) -> None:
    def final(best: Candidate, **changes: object) -> tuple[dict[str, object], int]:
        return boosting(params(**changes), folds[:1]).final(best)

    best = Candidate(1, {"max_depth": 3, "learning_rate": 0.2}, [1.0], [40])
    assert final(best) == ({"max_depth": 3, "learning_rate": 0.08}, 200)
    low_enough = {**SPACE, "learning_rate": {"low": 0.16, "high": 0.4}}
    assert final(best, space=low_enough) == ({"max_depth": 3, "learning_rate": 0.16}, 200)
    choices = {**SPACE, "learning_rate": [0.05, 0.1, 0.2, 0.3]}
    assert final(best, space=choices) == ({"max_depth": 3, "learning_rate": 0.1}, 200)
    assert boosting(params(space=choices), folds[:1]).shape_learning_rate == 0.2
    fast = {**SPACE, "learning_rate": [0.3, 0.5]}
    assert boosting(params(space=fast), folds[:1]).shape_learning_rate == 0.3
    unlowered = Candidate(1, {"max_depth": 3, "learning_rate": 0.3}, [1.0], [40])
    assert final(unlowered, space={"max_depth": {"low": 1, "high": 6}}) == (unlowered.sampled, 200)

    made = boosting(params(), folds)
    candidates = tried(params(), made)
    winner = min((one for one in candidates if not one.dropped), key=lambda one: one.mean)
    sampled, rounds = made.final(winner)
    assert made.cross_validate(sampled, rounds, choose_round=True).mean < winner.mean


def test_random_scores_every_candidate_on_all_folds_with_early_stopping(folds: list[FoldTables]) -> None:
    search_params = params(sampler="random", n_candidates=3, early_stopping_rounds=5)
    made = boosting(search_params, folds)
    candidates = tried(search_params, made)
    assert len({one.sampled["learning_rate"] for one in candidates}) == 3
    for one in candidates:
        curves = [score_curve({**made.native, **one.sampled}, fold, 200, 5) for fold in made.folds]
        assert one.fold_scores == [min(curve) for curve in curves]
        assert one.fold_rounds == [curve.index(min(curve)) + 1 for curve in curves]
        assert all(len(curve) in (200, used + 5) for curve, used in zip(curves, one.fold_rounds, strict=True))
        assert not one.dropped
    assert made.final(candidates[0]) == (candidates[0].sampled, max(candidates[0].fold_rounds))


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_few_choices_are_each_tried_once(sampler: str, folds: list[FoldTables]) -> None:
    few = params(sampler=sampler, space={"subsample": [0.5, 1.0], "max_depth": [1, 2]})
    made = learner(few, folds)
    assert n_candidates(few, made.sampled_space) == 4
    repeated: Space = {"max_depth": [3], "gamma": [1, 1.0, 1]}
    assert n_candidates(params(sampler=sampler), repeated) == 1
    tries = [(one.sampled["subsample"], one.sampled["max_depth"]) for one in tried(few, made)]
    assert sorted(tries) == [(0.5, 1), (0.5, 2), (1.0, 1), (1.0, 2)]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("name", ["xgboost", "random_forest", "nn"])
def test_a_target_that_never_varies_is_searched_without_complaint(sampler: str, name: str) -> None:
    X = pd.DataFrame({"a": np.arange(40, dtype=np.float32)})
    y, rows = np.full(40, 7.0), np.arange(40)
    folds = [(X.iloc[a], y[a], X.iloc[b], y[b]) for a, b in ((rows[:20], rows[20:]), (rows[20:], rows[:20]))]
    space = {"xgboost": SPACE, "random_forest": {"max_depth": [1, 2, 3, 4]}, "nn": {"alpha": [0.1, 0.2, 0.3, 0.4]}}
    chosen = SearchParams.model_validate(
        {"sampler": sampler, "n_candidates": 4, "max_rounds": 20, "space": {name: space[name]}}
    )
    made = learner(chosen, folds, name=name)
    assert len(tried(chosen, made)) == 4
    assert len(made.cross_validate({}, 5, choose_round=True).fold_scores) == 2


def test_a_time_budget_ends_the_search_after_a_candidate(folds: list[FoldTables]) -> None:
    many, none = params(n_candidates=100_000, time_budget=0.2), params(time_budget=1e-9)
    assert 1 <= len(tried(many, learner(many, folds))) < 1000
    assert tried(none, learner(none, folds))[0].number == 1


def test_cross_validation_scores_on_the_way_and_finds_the_best_round(folds: list[FoldTables]) -> None:
    made, sampled = boosting(params(), folds), {"max_depth": 6, "learning_rate": 0.5}
    scores = made.cross_validate(sampled, 250, choose_round=False)
    assert scores.rounds == [1, *range(2, 251, 2)]
    curve = score_curve({**made.native, **sampled}, made.folds[1], 250)
    assert scores.valid_curves[1] == pytest.approx([curve[number - 1] for number in scores.rounds], rel=1e-6)
    best = made.cross_validate(sampled, 250, choose_round=True)
    means = np.mean(scores.valid_curves, axis=0)
    assert best.mean == means.min() < means[-1]
    assert best.rounds[-1] == best.n_rounds == scores.rounds[int(np.argmin(means))]
    assert [len(curve) for curve in best.train_curves] == [len(best.rounds)] * 4
    for scored in (scores, best):
        rmse = [np.sqrt(np.mean((out - y) ** 2)) for out, (*_, y) in zip(scored.outputs, folds, strict=True)]
        assert scored.fold_scores == pytest.approx(rmse, rel=1e-5)


@pytest.mark.parametrize("name", ["xgboost", "random_forest", "nn"])
def test_scores_of_labels_are_the_log_loss_of_their_probabilities(name: str, labelled_folds: list[FoldTables]) -> None:
    scores = learner(params(), labelled_folds, name=name, task=LABELS).cross_validate({}, 20, choose_round=True)
    assert scores.mean < 1.0 < np.log(3)
    for outputs, (*_, y), score in zip(scores.outputs, labelled_folds, scores.fold_scores, strict=True):
        assert outputs.shape == (150, 3)
        np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)
        assert score == pytest.approx(-np.log(outputs[np.arange(150), y]).mean(), rel=1e-5)


def test_a_forest_is_compared_with_few_trees_and_takes_all_in_the_end(folds: list[FoldTables]) -> None:
    chosen = params().model_copy(update={"space": {"random_forest": {"max_depth": [2, 8]}}})
    made = learner(chosen, folds, name="random_forest")
    candidates = tried(chosen, made)
    assert {rounds for one in candidates for rounds in one.fold_rounds} == {50}
    best = min((one for one in candidates if not one.dropped), key=lambda one: one.mean)
    assert best.sampled == {"max_depth": 8}
    assert made.final(best) == ({"max_depth": 8}, 200)
    scores = made.cross_validate({"max_depth": 8}, 20, choose_round=True)
    assert scores.n_rounds == 20  # more trees are never worse


def test_a_number_of_trees_that_is_searched_is_what_is_fitted(folds: list[FoldTables]) -> None:
    chosen = params().model_copy(update={"space": {"random_forest": {"n_estimators": [1, 5, 60]}}})
    made = learner(chosen, folds, name="random_forest")
    candidates = tried(chosen, made)
    for one in candidates:
        assert set(one.fold_rounds) == {one.sampled["n_estimators"]}
    best = min((one for one in candidates if not one.dropped), key=lambda one: one.mean)
    assert made.final(best) == ({}, 60)
