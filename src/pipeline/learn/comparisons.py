"""Fits by which the search compares candidates of XGBoost."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from pipeline.learn.boosters import Fold, score_curve, validation_score
from pipeline.learn.candidate import Candidate, Sampled
from pipeline.learn.learner import Problem

COMPARISON_BINS = {"max_bin": 32}  # a fit is two to four times as fast as with 256, and ranks shapes as well
PLATEAU_GAIN = 0.02
PLATEAU_ROUNDS = 100  # maximum number of rounds of the comparison
EARLY_ROUNDS, EARLY_PATIENCE = 400, 20


class BinnedFolds(Protocol):
    """What the comparisons use of the learner `Boosting`."""

    problem: Problem
    folds: list[Fold]
    comparison_folds: list[Fold]

    @property
    def shape_learning_rate(self) -> float:
        """The learning rate of the comparison."""

    def native_params(self, sampled: Sampled) -> Sampled:
        """Return the parameters of a fit by the names of the native interface."""


class PlateauComparison:
    """A `CandidateFitter` that compares shapes after few rounds, in few bins and on few folds, for large tables.

    All candidates get the rounds after which the first one gains only `PLATEAU_GAIN` of the total more: fewer rounds
    favor large trees; more rounds take time and compare overfitting instead of shapes.

    Attributes
    ----------
    learning_rate : float
        The rate of the comparison, if the space allows it: higher ones rank shapes worse, lower ones take longer.
    slack : float
        The best round is inversely proportional to the learning rate. The final rate is chosen so that this many times
        the rounds of the comparison, scaled to that rate, fill ``max_rounds``.
    """

    learning_rate, slack = 0.2, 3.5

    def __init__(self, learner: BinnedFolds) -> None:
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
    """A `CandidateFitter` that compares shapes at their best rounds on all folds.

    It has the attributes of `PlateauComparison`.
    """

    learning_rate, slack = 0.1, 1.5

    def __init__(self, learner: BinnedFolds) -> None:
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

    def __init__(self, learner: BinnedFolds) -> None:
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
