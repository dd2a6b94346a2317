"""Translate a search space into an Optuna study and its distributions."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.learn.candidate import Sampled
from pipeline.learn.space import Choice, Range, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

STARTUP_CANDIDATES = 8  # before `tpe` uses the scores
CANDIDATES = {2_000: 32, 20_000: 24, 200_000: 16}  # by number of rows
MIN_CANDIDATES = 8


def default_candidates(n_rows: int) -> int:
    """Return the number of candidates of a search on this many rows, if params.yaml does not give it."""
    return next((number for limit, number in CANDIDATES.items() if n_rows < limit), MIN_CANDIDATES)


def count_combinations(space: Space) -> float:
    """Return the number of combinations of a space; infinite unless all its hyperparameters are lists."""
    choices = [len(set(values)) for values in space.values() if isinstance(values, list)]
    return math.inf if len(choices) < len(space) else math.prod(choices)


def distributions(space: Space) -> "dict[str, BaseDistribution]":
    """Return Optuna's distribution of each hyperparameter."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def distribution(values: Range | list[Choice]) -> "BaseDistribution":
        if not isinstance(values, Range):
            return CategoricalDistribution(values)
        low, high = values.low, values.high
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high)
        return FloatDistribution(low, high, log=values.log)

    return {name: distribution(values) for name, values in sorted(space.items())}


def create_study(sampler_name: str, space: Space, seed: int, starts: Sequence[Sampled] = ()) -> "Study":
    """Return an Optuna study with the sampler of a search; `tpe` begins with `starts` and `startup_candidates`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if sampler_name == "random":
        return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP_CANDIDATES)
    study = optuna.create_study(sampler=sampler)
    for sampled in [*starts, *startup_candidates(space, seed)[len(starts) :]]:
        study.enqueue_trial(sampled)
    return study


def startup_candidates(space: Space, seed: int) -> list[Sampled]:
    """Return the center of the space, and points that cover every range evenly, in random combinations.

    Of each hyperparameter's range every part of equal size has one point (Latin hypercube; McKay et al. 1979).
    """
    n_points, rng = STARTUP_CANDIDATES - 1, np.random.default_rng(seed)
    names = sorted(space)
    positions = [(rng.permutation(n_points) + rng.random(n_points)) / n_points for _ in names]
    return [
        {name: _value_at(space[name], float(position)) for name, position in zip(names, point, strict=True)}
        for point in ([0.5] * len(names), *zip(*positions, strict=True))
    ]


def _value_at(values: Range | list[Choice], position: float) -> Choice:
    """Return the value at a relative position from 0 to 1 in a range or a list."""
    if not isinstance(values, Range):
        return values[int(position * len(values))]
    low, high = values.low, values.high
    if isinstance(low, int) and isinstance(high, int):
        return low + int(position * (high - low + 1))
    if values.log:
        return math.exp((1 - position) * math.log(low) + position * math.log(high))
    return (1 - position) * low + position * high
