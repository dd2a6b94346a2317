"""The space of a search, as the distributions a sampler draws from."""

import math
from typing import TYPE_CHECKING

from pipeline.learn.candidate import Sampled
from pipeline.learn.search_params import SearchParams
from pipeline.learn.space import Choice, Range, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

# The first candidates of `tpe` are drawn blindly.
STARTUP_CANDIDATES = 8


def n_candidates(params: SearchParams, space: Space) -> int:
    """Return how many candidates a search tries: as many as there are, where choices have fewer combinations."""
    choices = [len(set(values)) for values in space.values() if isinstance(values, list)]
    if len(choices) < len(space):
        return params.n_candidates
    return min(params.n_candidates, math.prod(choices))


def distributions(space: Space) -> "dict[str, BaseDistribution]":
    """Return what Optuna samples."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def distribution(values: Range | list[Choice]) -> "BaseDistribution":
        if not isinstance(values, Range):
            return CategoricalDistribution(values)
        low, high = values.low, values.high
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high)
        return FloatDistribution(low, high, log=values.log)

    return {name: distribution(values) for name, values in sorted(space.items())}


def study_of(params: SearchParams, space: Space, seed: int) -> "Study":
    """Return an Optuna study with the sampler of a search; with `tpe` it starts in the centre of the space."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if params.sampler == "random":
        return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP_CANDIDATES)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial(centre_of(space))
    return study


def centre_of(space: Space) -> Sampled:
    """Return the middle of every range and of every list of choices."""
    return {name: _centre(values) for name, values in sorted(space.items())}


def _centre(values: Range | list[Choice]) -> Choice:
    if not isinstance(values, Range):
        return values[len(values) // 2]
    if values.log:
        return math.sqrt(values.low * values.high)
    centre = (values.low + values.high) / 2
    return int(centre) if isinstance(values.low, int) and isinstance(values.high, int) else centre
