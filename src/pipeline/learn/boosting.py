"""Search and fit XGBoost: folds are binned once, candidates compared at a high learning rate, the best one refitted.

With the sampler `tpe` the search varies every hyperparameter except the learning rate (the shape of the trees, for
short); the final fit then uses a low learning rate with more rounds.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

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
    with_growth,
)
from pipeline.learn.candidate import Candidate, Sampled
from pipeline.learn.comparisons import COMPARISON_BINS, EarlyComparison, EarlyStopping, PlateauComparison
from pipeline.learn.cross_validation import CrossValidation, best_index, scored_rounds
from pipeline.learn.devices import fit_estimator, on_device
from pipeline.learn.learner import FoldTables, Problem, Scoring
from pipeline.learn.parallel import run_parallel
from pipeline.learn.scoring import RACE_FOLDS, Race
from pipeline.learn.space import Choice, Range, Space
from pipeline.learn.starts import starts_in

DEFAULT_LEARNING_RATE, DEFAULT_DEPTH = 0.3, 6  # XGBoost's defaults, for a space without them
TYPICAL_LEAVES = 31
# Below this many seconds per round, candidates are compared with early stopping. A fit of the final cross-validation
# may take `FIT_SECONDS`. Both are estimated (see `round_seconds`), so that results do not depend on the machine.
EARLY_ROUND_SECONDS, FIT_SECONDS = 0.003, 6.0
MIN_ROUNDS = 400  # that the final cross-validation may always take


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

    @property
    def comparison(self) -> type[EarlyComparison] | type[PlateauComparison]:
        """The fits by which `tpe` compares candidates."""
        return EarlyComparison if self.stops_early else PlateauComparison

    def round_seconds(self, n_leaves: int) -> float:
        """Return how long a round takes with one thread, estimated from the sizes of table and trees.

        Measured: growing a tree takes 0.3 ns per value and level, and 20 µs per leaf.
        """
        train = self.folds[0].train
        n_outputs = self.problem.task.n_classes if self.problem.task.n_classes > 2 else 1
        levels = math.log2(n_leaves) + 2
        return n_outputs * (0.3e-9 * train.num_row() * train.num_col() * levels + 20e-6 * n_leaves)

    def native_params(self, sampled: Sampled) -> Sampled:
        """Return the parameters of a fit by the names of the native interface."""
        return with_growth({**self.native, **sampled})

    @property
    def sampled_space(self) -> Space:
        """The search space; for `tpe` without the learning rate, which is chosen after the search."""
        excluded = {"learning_rate"} if self.problem.search.sampler == "tpe" else set()
        return {name: values for name, values in self.problem.space.items() if name not in excluded}

    @property
    def n_rows(self) -> int:
        """The number of rows of the search."""
        return int(self.folds[0].train.num_row() + self.folds[0].valid.num_row())

    @property
    def starts(self) -> list[Sampled]:
        """Good hyperparameters of other tables."""
        return starts_in(self.sampled_space)

    def scoring(self) -> Scoring:
        """Return a race at a high learning rate, or, for the sampler `random`, early stopping on every fold."""
        if self.problem.search.sampler == "random":
            return EarlyStopping(self)
        if self.stops_early:
            return Race(self.comparison(self), len(self.folds), len(self.folds), drop=True)
        return Race(self.comparison(self), len(self.folds), RACE_FOLDS, drop=True)

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
        lowest = high * self.comparison.slack * max(best.fold_rounds) / max_rounds
        if isinstance(values, Range):
            learning_rate = min(max(lowest, values.low), high)
        else:
            learning_rate = min((value for value in _floats(values) if lowest <= value <= high), default=high)
        return {**best.sampled, "learning_rate": learning_rate}, max_rounds

    @property
    def shape_learning_rate(self) -> float:
        """The learning rate at which `tpe` compares candidates: as near to the comparison's as the space allows."""
        fixed = self.problem.fixed.get("learning_rate", DEFAULT_LEARNING_RATE)
        values = self.problem.space.get("learning_rate", [fixed])
        rate = self.comparison.learning_rate
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


def _floats(choices: Sequence[Choice]) -> list[float]:
    return [float(choice) for choice in choices if choice is not None]
