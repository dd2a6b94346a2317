"""Search and fit XGBoost: folds are binned once, candidates compared at a high learning rate, the best one refitted.

With the sampler `tpe` the search varies every hyperparameter except the learning rate (the shape of the trees, for
short); the final fit then uses a low learning rate with more rounds.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.learn.boosters import (
    LEAFWISE_DEPTH,
    Fold,
    bin_fold,
    effective_params,
    learning_curves,
    objective_params,
    predict_outputs,
    score_curve,
    validation_score,
    with_growth,
)
from pipeline.learn.candidate import Candidate, Sampled
from pipeline.learn.cross_validation import CrossValidation, best_index, scored_rounds
from pipeline.learn.devices import fit_estimator, on_device
from pipeline.learn.learner import FoldTables, Problem, Scoring
from pipeline.learn.parallel import run_parallel
from pipeline.learn.scoring import RACE_FOLDS, Race
from pipeline.learn.space import Choice, Range, Space

DEFAULT_LEARNING_RATE, DEFAULT_DEPTH = 0.3, 6  # XGBoost's defaults, for a space without them
# `tpe` compares shapes at this rate if the space allows it: higher rates rank shapes worse, lower ones take longer.
COMPARISON_LEARNING_RATE = 0.2
TYPICAL_LEAVES = 31
COMPARISON_BINS = {"max_bin": 32}  # a fit is two to four times as fast as with 256, and ranks shapes as well
# Below this many seconds per round, candidates are compared with early stopping. A fit of the final cross-validation
# may take `FIT_SECONDS`. Both are estimated (see `round_seconds`), so that results do not depend on the machine.
EARLY_ROUND_SECONDS, FIT_SECONDS = 0.003, 15.0
EARLY_LEARNING_RATE, EARLY_ROUNDS, EARLY_PATIENCE = 0.1, 400, 20
EARLY_SLACK = 1.5  # as SLACK, where the comparison stops at the best round
MIN_ROUNDS = 400  # that the final cross-validation may always take
# Shapes are compared at the first round after which the first candidate gains only this share of the total more: fewer
# rounds favor large trees; more rounds take time and compare overfitting instead of shapes.
PLATEAU_GAIN = 0.02
PLATEAU_ROUNDS = 100  # maximum number of rounds of the comparison
# The best round is inversely proportional to the learning rate. With `tpe` the final rate is chosen so that this many
# times the rounds of the comparison, scaled to that rate, fill `max_rounds`.
SLACK = 3.5
# Good hyperparameters of different tables, with which a search of the default space starts.
_STARTS_ORDER = ("max_leaves", "min_child_weight", "subsample", "colsample_bytree", "reg_lambda")
STARTS: list[Sampled] = [
    dict(zip(_STARTS_ORDER, values, strict=True))
    for values in (
        (31, 3.0, 0.8, 0.7, 1.0),
        (8, 5.0, 0.7, 0.5, 3.0),
        (64, 1.0, 0.9, 0.8, 0.3),
        (16, 0.3, 0.8, 0.6, 0.3),
        (24, 10.0, 0.6, 0.4, 10.0),
        (12, 1.0, 0.9, 0.9, 0.1),
    )
]


class Boosting:
    """XGBoost as a `Learner`.

    Attributes
    ----------
    native : dict
        Parameters that every fit shares, by the names of the native interface; ``nthread`` is the number of threads.
    folds : list of Fold
    comparison_folds : list of Fold
        The folds on which candidates are compared, in fewer bins; empty if they are not.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        common = {"seed": problem.seed, "nthread": problem.n_jobs}
        self.native = {**objective_params(problem.task, problem.device), **common, **problem.fixed}
        self.folds: list[Fold] = []
        self.comparison_folds: list[Fold] = []
        for tables in problem.folds:
            self.folds.append(self._binned(tables, self.native))
            if self.compares and not self.stops_early and len(self.comparison_folds) < RACE_FOLDS:
                self.comparison_folds.append(self._binned(tables, {**self.native, **COMPARISON_BINS}))

    def _binned(self, tables: FoldTables, native: Sampled) -> Fold:
        fold = bin_fold(tables, native)
        # The tables take memory, and only fits in other processes need them.
        return fold if self.problem.run_fits is run_parallel else replace(fold, source=(tables, native))

    @property
    def compares(self) -> bool:
        """Whether the search compares candidates by short fits."""
        return self.problem.search.sampler == "tpe" and bool(self.problem.space)

    @property
    def stops_early(self) -> bool:
        """Whether the search compares candidates with early stopping: a table is small enough for such long fits."""
        return self.round_seconds(TYPICAL_LEAVES) <= EARLY_ROUND_SECONDS

    def round_seconds(self, n_leaves: int) -> float:
        """Return how long a round takes with one thread, estimated from the sizes of table and trees.

        Measured: growing a tree takes 5 ns per row and level, and 20 µs per leaf.
        """
        n_outputs = self.problem.task.n_classes if self.problem.task.n_classes > 2 else 1
        levels = math.log2(n_leaves) + 2
        return n_outputs * (5e-9 * self.folds[0].train.num_row() * levels + 20e-6 * n_leaves)

    def native_params(self, sampled: Sampled) -> Sampled:
        """Return the parameters of a fit by the names of the native interface."""
        return with_growth({**self.native, **sampled})

    @property
    def sampled_space(self) -> Space:
        """The search space; for `tpe` without the learning rate, which is chosen after the search."""
        excluded = {"learning_rate"} if self.problem.search.sampler == "tpe" else set()
        return {name: values for name, values in self.problem.space.items() if name not in excluded}

    @property
    def starts(self) -> list[Sampled]:
        """The `STARTS` that the space includes, each with another of the objectives."""
        space = self.sampled_space
        objectives = space.get("objective", [])
        if space.keys() - {"objective"} != STARTS[0].keys() or isinstance(objectives, Range):
            return []
        return [
            {**start, **({"objective": objectives[number % len(objectives)]} if objectives else {})}
            for number, start in enumerate(STARTS)
            if all(_includes(space[name], value) for name, value in start.items())
        ]

    def scoring(self) -> Scoring:
        """Return a race at a high learning rate, or, for the sampler `random`, early stopping on every fold."""
        if self.problem.search.sampler == "random":
            return EarlyStopping(self)
        if self.stops_early:
            return Race(EarlyComparison(self), len(self.folds), len(self.folds), drop=True)
        return Race(ComparisonFitter(self), len(self.folds), RACE_FOLDS, drop=True)

    def final_params(self, best: Candidate | None) -> tuple[Sampled, int]:
        """Return the parameters of the best candidate for the final fit, and the maximum number of rounds.

        With the sampler `tpe` the learning rate is as low as the space and ``max_rounds`` allow, because many small
        steps give a better model than few large ones.
        """
        max_rounds = self.problem.search.max_rounds
        if best is None:
            return {}, max_rounds
        depth = min(int(best.sampled.get("max_depth") or DEFAULT_DEPTH), LEAFWISE_DEPTH)
        n_leaves = int(best.sampled.get("max_leaves") or 2**depth)
        max_rounds = min(max_rounds, max(MIN_ROUNDS, int(FIT_SECONDS / self.round_seconds(n_leaves))))
        if self.problem.search.sampler == "random":
            return best.sampled, max(best.fold_rounds)
        values, high = self.problem.space.get("learning_rate"), self.shape_learning_rate
        if values is None:
            return best.sampled, max_rounds
        slack = EARLY_SLACK if self.stops_early else SLACK
        lowest = high * slack * max(best.fold_rounds) / max_rounds
        if isinstance(values, Range):
            learning_rate = min(max(lowest, values.low), high)
        else:
            learning_rate = min((value for value in _floats(values) if lowest <= value <= high), default=high)
        return {**best.sampled, "learning_rate": learning_rate}, max_rounds

    @property
    def shape_learning_rate(self) -> float:
        """The learning rate at which `tpe` compares candidates: near `SHAPE_LEARNING_RATE`, within the space."""
        fixed = self.problem.fixed.get("learning_rate", DEFAULT_LEARNING_RATE)
        values = self.problem.space.get("learning_rate", [fixed])
        rate = EARLY_LEARNING_RATE if self.stops_early else COMPARISON_LEARNING_RATE
        if isinstance(values, Range):
            return float(min(values.high, max(values.low, rate)))
        numbers = sorted(_floats(values))
        return max((value for value in numbers if value <= rate), default=numbers[0])

    def cross_validate(self, sampled: Sampled, rounds: int, choose_round: bool) -> CrossValidation:
        """Fit and score on each fold along `rounds`; with `choose_round`, cut the curves at the best round."""
        native, scored = self.native_params(sampled), scored_rounds(rounds)
        run_fits = self.problem.run_fits
        fit_curves = partial(learning_curves, scored=scored, stop_early=choose_round)
        fits = run_fits(fit_curves, [(native, fold) for fold in self.folds])
        n_scored = min(len(valid) for _, _, valid in fits)
        valid_curves = [valid[:n_scored] for _, _, valid in fits]
        end = best_index(valid_curves) + 1 if choose_round else n_scored
        return CrossValidation(
            rounds=scored[:end],
            train_curves=[train[:end] for _, train, _ in fits],
            valid_curves=[valid[:end] for valid in valid_curves],
            outputs=[
                predict_outputs(booster, fold.valid, self.problem.task, scored[end - 1])
                for (booster, _, _), fold in zip(fits, self.folds, strict=True)
            ],
        )

    def estimator(self, sampled: Sampled, rounds: int, y: NDArray[Any]) -> Any:
        """Return an unfitted XGBRegressor or XGBClassifier with every parameter set explicitly, including defaults.

        Autologging records the text 'None' for parameters that are not set.
        """
        from xgboost import XGBClassifier, XGBRegressor

        problem = self.problem
        estimator_class = XGBClassifier if problem.task.labels else XGBRegressor
        params = effective_params(self.native_params(sampled), self.folds[0])
        if not problem.task.labels:  # for a classification, XGBoost estimates one base_score per class itself
            params["base_score"] = float(y.mean())
        if problem.task.n_classes > 2:
            params.pop("num_class")  # the classifier derives it from the classes in y
        return estimator_class(**params, n_estimators=rounds, random_state=problem.seed, n_jobs=problem.n_jobs)

    def effective_params(self, estimator: Any) -> Sampled:
        """Return only the number of rounds; autologging records the other parameters."""
        return {"n_estimators": estimator.n_estimators}

    def fit(self, estimator: Any, X: pd.DataFrame, y: NDArray[Any]) -> None:
        """Fit an estimator on the problem's device; afterwards it uses the CPU."""
        fit_estimator(estimator, X, y)

    def on_device(self, estimator: Any) -> AbstractContextManager[None]:
        """Return the context in which a fitted estimator uses the problem's device."""
        device = self.problem.device
        return nullcontext() if device == "cpu" else on_device(estimator, device)


class ComparisonFitter:
    """A `CandidateFitter` that compares shapes at a high learning rate, at the rounds the first one needs."""

    def __init__(self, learner: Boosting) -> None:
        self.learner = learner
        self.rounds = 0

    def fit_params(self, sampled: Sampled) -> Sampled:
        """Return the candidate's parameters with the high learning rate; the first call chooses the rounds."""
        params = {**sampled, "learning_rate": self.learner.shape_learning_rate}
        if not self.rounds:
            rounds = min(self.learner.problem.search.max_rounds, PLATEAU_ROUNDS)
            curve = np.array(score_curve(self.native_params(params), self.learner.comparison_folds[0], rounds))
            plateau = curve.min() + PLATEAU_GAIN * (curve[0] - curve.min())
            self.rounds = int(np.argmax(curve <= plateau)) + 1
        return params

    def scores(self, fits: Sequence[tuple[Sampled, int]]) -> list[tuple[float, int]]:
        """Fit candidates on folds, given by number; return the score and the rounds of each fit."""
        folds = self.learner.comparison_folds
        native_fits = [(self.native_params(params), folds[fold]) for params, fold in fits]
        scores = self.learner.problem.run_fits(partial(validation_score, rounds=self.rounds), native_fits)
        return [(score, self.rounds) for score in scores]

    def native_params(self, params: Sampled) -> Sampled:
        """Return the parameters of a fit by the names of the native interface."""
        return self.learner.native_params({**params, **COMPARISON_BINS})


class EarlyComparison:
    """A `CandidateFitter` that compares shapes at a moderate learning rate, each at its best round."""

    def __init__(self, learner: Boosting) -> None:
        self.learner = learner

    def fit_params(self, sampled: Sampled) -> Sampled:
        """Return the candidate's parameters with the learning rate of the comparison."""
        return {**sampled, "learning_rate": self.learner.shape_learning_rate}

    def scores(self, fits: Sequence[tuple[Sampled, int]]) -> list[tuple[float, int]]:
        """Fit candidates on folds, given by number; return the score and the round of each fit."""
        learner = self.learner
        max_rounds = min(learner.problem.search.max_rounds, EARLY_ROUNDS)
        fit_curve = partial(score_curve, max_rounds=max_rounds, patience=EARLY_PATIENCE)
        curves = learner.problem.run_fits(
            fit_curve, [(learner.native_params(params), learner.folds[fold]) for params, fold in fits]
        )
        return [(min(curve), int(np.argmin(curve)) + 1) for curve in curves]


class EarlyStopping:
    """A `Scoring` that fits candidates on all folds with early stopping."""

    def __init__(self, learner: Boosting) -> None:
        self.learner = learner

    def score(self, batch: Mapping[int, Sampled]) -> list[tuple[Candidate, float]]:
        """Return the scored candidates, each with its mean score.

        Parameters
        ----------
        batch : dict of int to dict
            Sampled parameters by candidate number.
        """
        search, folds = self.learner.problem.search, self.learner.folds
        fit_curve = partial(score_curve, max_rounds=search.max_rounds, patience=search.early_stopping_rounds)
        fits = [(self.learner.native_params(sampled), fold) for sampled in batch.values() for fold in folds]
        curves = iter(self.learner.problem.run_fits(fit_curve, fits))
        scored = []
        for number, sampled in batch.items():
            fold_curves = [next(curves) for _ in folds]
            best_rounds = [int(np.argmin(curve)) + 1 for curve in fold_curves]
            candidate = Candidate(number, sampled, [min(curve) for curve in fold_curves], best_rounds)
            scored.append((candidate, candidate.mean))
        return scored


def _includes(values: Range | list[Choice], value: float) -> bool:
    return values.low <= value <= values.high if isinstance(values, Range) else value in values


def _floats(choices: Sequence[Choice]) -> list[float]:
    return [float(choice) for choice in choices if choice is not None]
