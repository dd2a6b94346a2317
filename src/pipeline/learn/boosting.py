"""XGBoost at work: folds that are binned once, shapes compared at a high learning rate, a final fit at a low one."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.learn.boosters import (
    Fold,
    both_curves,
    effective_params,
    losses_of,
    objective_of,
    outputs_of,
    score_curve,
)
from pipeline.learn.candidate import Candidate, Sampled
from pipeline.learn.cross_validation import CrossValidation, best_place, scored_rounds
from pipeline.learn.learner import Problem, Scoring
from pipeline.learn.parallel import side_by_side
from pipeline.learn.scoring import RACE_FOLDS, Race
from pipeline.learn.space import Choice, Range, Space

# XGBoost's own, where the space leaves it out.
DEFAULT_LEARNING_RATE = 0.3
# At which `tpe` compares shapes, where the space allows it: higher ones rank shapes worse, lower ones take longer.
SHAPE_LEARNING_RATE = 0.2
# Shapes are compared at the round from which the first candidate is within 2 % of its best score: fewer rounds flatter
# deep trees, and more cost time and tell overfitting apart, not shapes.
FLAT = 1.02
FLAT_WITHIN = 100
# With `tpe` the winner's learning rate is lowered until so many times the rounds at which shapes are compared, in
# inverse proportion to the rate, fill `max_rounds`: about where its best round is.
SLACK = 2


class Boosting:
    """XGBoost as a `Learner`.

    Attributes
    ----------
    native : dict
        What every fit shares, by the names of the native interface, with ``nthread``: threads in all.
    folds : list of Fold
    """

    def __init__(self, problem: Problem) -> None:
        from xgboost import QuantileDMatrix

        self.problem = problem
        self.native = {**objective_of(problem.task), "seed": problem.seed, "nthread": problem.n_jobs, **problem.fixed}
        self.folds: list[Fold] = []
        for X_train, y_train, X_valid, y_valid in problem.folds:  # validation rows by the training rows' bins
            train = QuantileDMatrix(X_train, label=y_train, nthread=problem.n_jobs)
            valid = QuantileDMatrix(X_valid, label=y_valid, ref=train, nthread=problem.n_jobs)
            self.folds.append(Fold(train, valid, y_valid))

    @property
    def sampled_space(self) -> Space:
        """The space; with `tpe` without the learning rate, which is chosen afterwards."""
        apart = {"learning_rate"} if self.problem.search.sampler == "tpe" else set()
        return {name: values for name, values in self.problem.space.items() if name not in apart}

    def scoring(self) -> Scoring:
        """Return a race at a high learning rate, or, for the sampler `random`, every fold with early stopping."""
        if self.problem.search.sampler == "tpe":
            return Race(self.problem.task, ShapeContest(self), len(self.folds), drop=True)
        return EarlyStopping(self)

    def final(self, best: Candidate | None) -> tuple[Sampled, int]:
        """Return the parameters the best candidate stands for, and the rounds among which its best one is.

        With the sampler `tpe` the learning rate is lowered as far as the space and ``max_rounds`` allow: many small
        steps give a better model than few large ones.
        """
        max_rounds = self.problem.search.max_rounds
        if best is None:
            return {}, max_rounds
        if self.problem.search.sampler == "random":
            return best.sampled, max(best.fold_rounds)
        values, high = self.problem.space.get("learning_rate"), self.shape_learning_rate
        if values is None:
            return best.sampled, max_rounds
        lowest = high * SLACK * max(best.fold_rounds) / max_rounds
        if isinstance(values, Range):
            learning_rate = min(max(lowest, values.low), high)
        else:
            learning_rate = min((value for value in _floats(values) if lowest <= value <= high), default=high)
        return {**best.sampled, "learning_rate": learning_rate}, max_rounds

    @property
    def shape_learning_rate(self) -> float:
        """The learning rate at which `tpe` compares candidates."""
        fixed = self.problem.fixed.get("learning_rate", DEFAULT_LEARNING_RATE)
        values = self.problem.space.get("learning_rate", [fixed])
        if isinstance(values, Range):
            return float(min(values.high, max(values.low, SHAPE_LEARNING_RATE)))
        numbers = sorted(_floats(values))
        return max((value for value in numbers if value <= SHAPE_LEARNING_RATE), default=numbers[0])

    def cross_validate(self, sampled: Sampled, rounds: int, choose_round: bool) -> CrossValidation:
        """Fit on each fold for exactly `rounds` and score on the way; end the curves at the best round if asked."""
        native, scored = {**self.native, **sampled}, scored_rounds(rounds)
        fitted = side_by_side(partial(both_curves, scored=scored), [(native, fold) for fold in self.folds])
        valid_curves = [valid for _, _, valid in fitted]
        end = best_place(valid_curves) + 1 if choose_round else len(scored)
        return CrossValidation(
            rounds=scored[:end],
            train_curves=[train[:end] for _, train, _ in fitted],
            valid_curves=[valid[:end] for valid in valid_curves],
            outputs=[
                outputs_of(booster, fold.valid, self.problem.task, scored[end - 1])
                for (booster, _, _), fold in zip(fitted, self.folds, strict=True)
            ],
        )

    def estimator(self, sampled: Sampled, rounds: int, y: NDArray[Any]) -> Any:
        """Return an unfitted XGBRegressor or XGBClassifier with every parameter stated, defaults too.

        Stating them makes autologging record values where it would otherwise record the text 'None'.
        """
        from xgboost import XGBClassifier, XGBRegressor

        problem = self.problem
        kind = XGBClassifier if problem.task.labels else XGBRegressor
        stated = effective_params({**self.native, **sampled}, self.folds[0])
        if not problem.task.labels:  # of a classification XGBoost estimates it itself, one for each class
            stated["base_score"] = float(y.mean())
        if problem.task.n_classes > 2:
            stated.pop("num_class")  # told from the labels
        return kind(**stated, n_estimators=rounds, random_state=problem.seed, n_jobs=problem.n_jobs)

    def stated(self, estimator: Any) -> Sampled:
        """Return the parameters of an estimator, which autologging records itself."""
        return {"n_estimators": estimator.n_estimators}

    def fit(self, estimator: Any, X: pd.DataFrame, y: NDArray[Any]) -> None:
        """Fit an estimator."""
        estimator.fit(X, y)


class ShapeContest:
    """Compares the shapes of trees at a high learning rate, after as many rounds as the first one needs."""

    def __init__(self, learner: Boosting) -> None:
        self.learner = learner
        self.rounds = 0

    def enter(self, sampled: Sampled) -> Sampled:
        """Return a candidate at the high learning rate."""
        entered = {**sampled, "learning_rate": self.learner.shape_learning_rate}
        if not self.rounds:
            rounds = min(self.learner.problem.search.max_rounds, FLAT_WITHIN)
            folds = self.learner.folds[:RACE_FOLDS]
            fits = [({**self.learner.native, **entered}, fold) for fold in folds]
            mean = np.mean(side_by_side(partial(score_curve, max_rounds=rounds), fits), axis=0)
            self.rounds = int(np.argmax(mean <= FLAT * mean.min())) + 1
        return entered

    def rounds_of(self, entered: Sampled) -> int:
        """Return how many rounds every candidate is fitted for."""
        return self.rounds

    def losses(self, fits: Sequence[tuple[Sampled, int]]) -> list[NDArray[np.float64]]:
        """Fit candidates on folds, given by number, and return each validation row's loss."""
        learner = self.learner
        native = [({**learner.native, **sampled}, learner.folds[fold]) for sampled, fold in fits]
        return side_by_side(partial(losses_of, rounds=self.rounds, task=learner.problem.task), native)


class EarlyStopping:
    """Scores candidates on all folds, each at its best round."""

    def __init__(self, learner: Boosting) -> None:
        self.learner = learner

    def score(self, batch: Mapping[int, Sampled]) -> list[tuple[Candidate, float]]:
        """Return candidates, and what to tell the sampler: the score.

        Parameters
        ----------
        batch : dict of int to dict
            The sampled parameters, by the candidates' numbers.
        """
        search, folds = self.learner.problem.search, self.learner.folds
        curve = partial(score_curve, max_rounds=search.max_rounds, patience=search.early_stopping_rounds)
        fits = [({**self.learner.native, **sampled}, fold) for sampled in batch.values() for fold in folds]
        curves = iter(side_by_side(curve, fits))
        scored = []
        for number, sampled in batch.items():
            of_folds = [next(curves) for _ in folds]
            best_rounds = [int(np.argmin(curve)) + 1 for curve in of_folds]
            candidate = Candidate(number, sampled, [min(curve) for curve in of_folds], best_rounds)
            scored.append((candidate, candidate.mean))
        return scored


def _floats(choices: Sequence[Choice]) -> list[float]:
    return [float(choice) for choice in choices if choice is not None]
