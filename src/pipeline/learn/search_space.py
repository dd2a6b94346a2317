"""Translate a search space into an Optuna study and its distributions."""

import math
from typing import TYPE_CHECKING

from pipeline.learn.candidate import Sampled
from pipeline.learn.search_params import SearchParams
from pipeline.learn.space import Choice, Range, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

STARTUP_CANDIDATES = 8  # sampled at random before `tpe` uses the scores


def count_candidates(params: SearchParams, space: Space) -> int:
    """Return the number of candidates of a search, limited by the number of combinations if all choices are lists."""
    choices = [len(set(values)) for values in space.values() if isinstance(values, list)]
    if len(choices) < len(space):
        return params.n_candidates
    return min(params.n_candidates, math.prod(choices))


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


def create_study(params: SearchParams, space: Space, seed: int) -> "Study":
    """Return an Optuna study with the sampler of a search; `tpe` starts at the center of the space."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if params.sampler == "random":
        return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP_CANDIDATES)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial(space_center(space))
    return study


def space_center(space: Space) -> Sampled:
    """Return the middle of every range and of every list of choices."""
    return {name: _center(values) for name, values in sorted(space.items())}


def _center(values: Range | list[Choice]) -> Choice:
    if not isinstance(values, Range):
        return values[len(values) // 2]
    if values.log:
        return math.sqrt(values.low * values.high)
    center = (values.low + values.high) / 2
    return int(center) if isinstance(values.low, int) and isinstance(values.high, int) else center
