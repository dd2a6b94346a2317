"""The space of a search, as the distributions a sampler draws from."""

import math
from typing import TYPE_CHECKING

from pipeline.params import Range, SearchParams

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

# XGBoost's own, where the space leaves it out.
DEFAULT_LEARNING_RATE = 0.3
# At which `tpe` compares shapes, where the space allows it: higher ones rank shapes worse, lower ones take longer.
SHAPE_LEARNING_RATE = 0.2
# The first candidates of `tpe` are drawn blindly.
STARTUP_CANDIDATES = 8


def n_candidates(params: SearchParams) -> int:
    """Return how many candidates a search tries: as many as there are, where choices have fewer combinations."""
    space = distributions(params)
    choices = [len(set(values)) for name, values in params.space.items() if isinstance(values, list) and name in space]
    if len(choices) < len(space):
        return params.n_candidates
    return min(params.n_candidates, math.prod(choices))


def shape_learning_rate(params: SearchParams) -> float:
    """Return the learning rate at which `tpe` compares candidates."""
    values = params.space.get("learning_rate", [DEFAULT_LEARNING_RATE])
    if isinstance(values, Range):
        return float(min(values.high, max(values.low, SHAPE_LEARNING_RATE)))
    numbers = sorted(float(value) for value in values)
    return max((value for value in numbers if value <= SHAPE_LEARNING_RATE), default=numbers[0])


def distributions(params: SearchParams) -> "dict[str, BaseDistribution]":
    """Return what Optuna samples: with `tpe` the space without the learning rate, which is chosen afterwards."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def distribution(values: Range | list[int | float | str]) -> "BaseDistribution":
        if not isinstance(values, Range):
            return CategoricalDistribution(values)
        low, high = values.low, values.high
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high)
        return FloatDistribution(low, high, log=values.log)

    apart = {"learning_rate"} if params.sampler == "tpe" else set()
    return {name: distribution(values) for name, values in sorted(params.space.items()) if name not in apart}


def study_of(params: SearchParams, seed: int) -> "Study":
    """Return an Optuna study with the sampler of a search; with `tpe` it starts in the centre of the space."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if params.sampler == "random":
        return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP_CANDIDATES)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial({name: _centre(params.space[name]) for name in distributions(params)})
    return study


def _centre(values: Range | list[int | float | str]) -> int | float | str:
    if not isinstance(values, Range):
        return values[len(values) // 2]
    if values.log:
        return math.sqrt(values.low * values.high)
    centre = (values.low + values.high) / 2
    return int(centre) if isinstance(values.low, int) and isinstance(values.high, int) else centre
